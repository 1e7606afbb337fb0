#!/usr/bin/env bash
# Makes the container image endogate:VERSION of bin/endogate with buildah (Debian package buildah), tries it and writes it to
# out/endogate.tar, an OCI archive. Its bill of materials and all licences lie in /usr/share/doc. --ffmpeg adds ffmpeg, for JPEG 2000, JPEG-LS and lossless JPEG. --root=DIR only collects
# in a new folder what is in it.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=out/container ffmpeg=false only_root=false
for option in "$@"; do
	case $option in
	--ffmpeg) ffmpeg=true ;;
	--root=*) root=${option#--root=} only_root=true ;;
	*) echo "container: $option: there are --ffmpeg and --root=DIR" >&2; exit 2 ;;
	esac
done
if ! $only_root; then
	root=$dir/root
	rm -rf "$dir"
fi
mkdir -p "$root"/{usr/bin,usr/lib,usr/share,etc/ssl/certs,etc/endogate,var/lib/endogate,tmp}
chmod 1777 "$root/tmp" "$root/var/lib/endogate" # any user may be given with run --user

# libraries_of FILE...: what the loader finds for them, itself among it
libraries_of() { ldd "$@" | awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\// && $2 ~ /^\(/ { print $1 }' | sort -u; }

install -m 755 bin/endogate "$root/usr/bin/endogate"
programs=(bin/endogate)
if $ffmpeg; then
	install -m 755 "$(command -v ffmpeg)" "$root/usr/bin/ffmpeg"
	programs+=("$(command -v ffmpeg)")
fi
install -m 644 bin/lib/libonnxruntime.so.1 "$root/usr/lib/libonnxruntime.so.1"
mapfile -t libraries < <(libraries_of "${programs[@]}" bin/lib/libonnxruntime.so.1)
for library in "${libraries[@]}"; do
	install -D -m 755 "$library" "$root$library" # the place stays, and what a link leads to is copied
done
install -m 644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
cp -r /usr/share/zoneinfo "$root/usr/share/zoneinfo" # for reports.time_zone
install -D -m 644 {,"$root"}/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf # for names in Chinese and Japanese

# What all of that is and under which licences: of ours from the binary, of Debian's as Debian says it.
documents=$root/usr/share/doc/endogate
mkdir -p "$documents"
files=("${libraries[@]}" "${programs[@]:1}" /usr/share/zoneinfo/UTC /usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf)
mapfile -t real < <(realpath "${files[@]}")
owners=$(dpkg -S "${real[@]}" "${real[@]#/usr}" 2>/dev/null) || true # which knows some under /usr and some without
declare -A owned
while read -r line; do
	line=${line##*: }
	owned[${line#/usr}]=yes
done <<<"$owners"
for file in "${real[@]}"; do
	[ -n "${owned[${file#/usr}]-}" ] ||
		{ echo "container: no Debian package has $file, so it cannot be said under which licence it is; reinstall what brings it" >&2; exit 1; }
done
mapfile -t packages < <((sed 's/:.*//' <<<"$owners" && echo ca-certificates) | sort -u)
list=$(mktemp)
dpkg-query -W -f '${Package} ${Version} ${Architecture}\n' "${packages[@]}" | sort -u >"$list"
go run ./cmd/bill "$documents" "$(bin/endogate version | awk '{ print $2; exit }')" "$list"
rm "$list"
for package in "${packages[@]}"; do
	install -D -m 644 {,"$root"}"/usr/share/doc/$package/copyright"
done
cp -r /usr/share/common-licenses "$root/usr/share/common-licenses"
if $only_root; then exit; fi

export STORAGE_DRIVER=${STORAGE_DRIVER-vfs} BUILDAH_ISOLATION=${BUILDAH_ISOLATION-chroot} # which run in a container too
version=$(bin/endogate version | awk '{ print $2; exit }')
cp deploy/container/Containerfile "$dir/"
buildah bud --quiet --tag "endogate:$version" "$dir" >/dev/null
trial=$(buildah from "endogate:$version")
trap 'buildah rm "$trial" >/dev/null' EXIT
buildah copy --quiet "$trial" testdata/models/demo /models/demo >/dev/null
buildah run "$trial" -- /usr/bin/endogate model check /models/demo
if $ffmpeg; then buildah run "$trial" -- /usr/bin/ffmpeg -v error -version >/dev/null; fi
rm -f out/endogate.tar
buildah push --quiet "endogate:$version" "oci-archive:out/endogate.tar:endogate:$version"
echo "container: endogate:$version is made, loads the demo model, and lies in out/endogate.tar ($(du -h out/endogate.tar | cut -f1))"

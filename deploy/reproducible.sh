#!/usr/bin/env bash
# Builds the binary twice, each time from nothing: in another folder, with an empty cache, another home, time zone, language, mask and name of
# the user. Says where the two differ, if they do, and whether bin/endogate is the same.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'chmod -R u+w "$work" && rm -rf "$work"' EXIT
modules=$(go env GOMODCACHE)
proxy=$(go env GOPROXY)

# The sources of both are those of this tree that git knows, as they are now.
folders=(one deeper/and/longer/two)
for folder in "${folders[@]}"; do
	mkdir -p "$work/$folder"/{src,home,tmp}
done
git ls-files -z | tar --null -T - -cf "$work/sources.tar"
for folder in "${folders[@]}"; do
	tar -xf "$work/sources.tar" -C "$work/$folder/src"
done

# built FOLDER SETTING...: what building it there gave
built() {
	local folder=$work/$1
	shift
	env "$@" HOME="$folder/home" TMPDIR="$folder/tmp" GOCACHE="$folder/cache" GOMODCACHE="$modules" GOPROXY="$proxy" \
		"$folder/src/deploy/build.sh" "$folder/endogate"
	sha256sum "$folder/endogate" | cut -d' ' -f1
}

built "${folders[0]}" TZ=UTC LANG=C USER=one >"$work/first" &
beside=$!
second=$(umask 077 && built "${folders[1]}" TZ=Asia/Tokyo LANG=de_DE.UTF-8 USER=two BUILD_JOBS=3 GOFLAGS=-race CGO_CFLAGS=-O0)
wait "$beside"
first=$(<"$work/first")
if [ "$first" != "$second" ]; then
	cmp "$work"/{one,deeper/and/longer/two}/endogate | head -1 || true
	cp "$work/one/endogate" bin/endogate.one
	cp "$work/deeper/and/longer/two/endogate" bin/endogate.two
	echo "reproducible: the same sources gave $first and $second: see bin/endogate.one and bin/endogate.two" >&2
	exit 1
fi
echo "reproducible: built twice, SHA-256 $first"
if [ -e bin/endogate ] && [ "$(sha256sum bin/endogate | cut -d' ' -f1)" != "$first" ]; then
	echo 'reproducible: bin/endogate is another one: of other sources, another VERSION or COMMIT, or another compiler'
fi

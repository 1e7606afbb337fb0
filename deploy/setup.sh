#!/usr/bin/env bash
# Installs what is missing to build and run; with --test also the peers that the tests speak to.
# A second run has nothing to do.
#
# Nothing is used that was not held against a checksum first: Debian's packages by apt, against the signed lists of the distribution; Go by
# go_sha256; npm's archives by deploy/npm.txt; Go modules, which the builds fetch, by go.sum.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# command or file, and the Debian package that brings it
packages=()
need() { [ -e "$1" ] || command -v "$1" >/dev/null 2>&1 || packages+=("$2"); }
need gcc gcc
need /usr/include/stdlib.h libc6-dev
need npm npm
need openssl openssl
need ffmpeg ffmpeg
need /usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf fonts-droid-fallback
need go golang-go
if [ "${1-}" = --test ]; then
	need storescp dcmtk
	need xmllint libxml2-utils
	need /usr/sbin/rsyslogd rsyslog
	need /usr/lib/x86_64-linux-gnu/rsyslog/lmnsd_gtls.so rsyslog-gnutls
	need dciodvfy dicom3tools
	need /usr/sbin/Orthanc orthanc
	need /usr/share/orthanc/plugins/libOrthancDicomWeb.so orthanc-dicomweb
	need chromium chromium
	need pdftotext poppler-utils
	need node nodejs
	need promtool prometheus
	need systemd-analyze systemd
	need /usr/share/libonnx-testdata libonnx-testdata
	need /usr/lib/python3/dist-packages/pydicom python3-pydicom
	need /usr/lib/python3/dist-packages/numpy python3-numpy
	need /usr/lib/python3/dist-packages/hl7 python3-hl7
fi

if [ ${#packages[@]} -gt 0 ]; then
	say "installing ${packages[*]}"
	sudo=()
	[ "$(id -u)" = 0 ] || sudo=(sudo)
	"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q >/dev/null
	"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${packages[@]}" >/dev/null ||
		die "apt-get could not install ${packages[*]}; install them by hand and run make setup again"
fi

# Debian's Go is older than the module wants; it can fetch a newer one as it fetches modules.
wanted=$(awk '$1 == "go" { print $2 }' go.mod)
go_sha256=30c2b1bf7dcc88d3eb0a1364e47ddd9128edb3110a30e8a0ef61cd5856b31de7 # of the archive of Go 1.26.8 for Linux on x86-64
newer() { printf 'go%s\n%s\n' "$wanted" "$1" | sort -V -C; }
export PATH="$PWD/bin/go/bin:$PATH"
if ! newer "$(cd / && GOTOOLCHAIN=local go env GOVERSION)"; then
	say "fetching Go $wanted"
	tmp=$(mktemp -d)
	(cd "$tmp" && GOTOOLCHAIN=local GOMODCACHE="$tmp" GOFLAGS=-modcacherw \
		go mod download "golang.org/toolchain@v0.0.1-go$wanted.linux-amd64") ||
		die "Go $wanted could not be fetched; install it and run make setup again"
	sum=$(sha256sum "$tmp/cache/download/golang.org/toolchain/@v/v0.0.1-go$wanted.linux-amd64.zip" | cut -d' ' -f1)
	if [ "$sum" != "$go_sha256" ]; then
		rm -rf "$tmp"
		die "Go $wanted has the SHA-256 $sum, and deploy/setup.sh expects $go_sha256; nothing was installed. If go.mod names another Go than before, go_sha256 has to follow it; else somebody has changed what was fetched: do not use it"
	fi
	mkdir -p bin
	rm -rf bin/go
	mv "$tmp/golang.org/toolchain@v0.0.1-go$wanted.linux-amd64" bin/go
	chmod -R +x bin/go/bin bin/go/pkg/tool
	rm -rf "$tmp"
	newer "$(cd / && GOTOOLCHAIN=local go env GOVERSION)" || die "Go $wanted does not run here; install it and run make setup again"
fi

# from_npm NAME VERSION SHA512 PATH TARGET: PATH inside the package becomes TARGET, once its checksum is right
from_npm() {
	local name=$1 version=$2 sha512=$3 path=$4 target=$5
	[ -e "$target" ] && [ "$(cat "$target.version" 2>/dev/null)" = "$version" ] && return
	say "fetching $name $version"
	local tmp sum
	tmp=$(mktemp -d)
	trap "rm -rf '$tmp'" EXIT
	(cd "$tmp" && npm pack --silent "$name@$version" >/dev/null 2>&1) ||
		die "npm could not fetch $name@$version; is the package registry reachable?"
	sum=$(openssl dgst -sha512 -binary "$tmp"/*.tgz | base64 -w0)
	[ "$sum" = "$sha512" ] ||
		die "$name@$version has the SHA-512 $sum, and deploy/npm.txt expects $sha512; nothing was installed. Somebody has changed what was fetched: do not use it"
	mkdir "$tmp/out" && tar --no-same-owner -xzf "$tmp"/*.tgz -C "$tmp/out" --strip-components=1
	mkdir -p "$(dirname "$target")"
	rm -rf "$target"
	mv "$tmp/out/${path#.}" "$target"
	echo "$version" >"$target.version"
	rm -rf "$tmp"
}

while read -r purpose name version _ sha512 path target <&3; do
	case "$purpose ${1-}" in
	build* | "test --test") from_npm "$name" "$version" "$sha512" "$path" "$target" ;;
	esac
done 3< <(grep -v '^#' deploy/npm.txt)

# The bill of materials is held against all modules that tests and tools need, and fetches none itself.
if [ "${1-}" = --test ]; then
	GOOS=linux GOARCH=amd64 CGO_ENABLED=1 GOFLAGS=-mod=readonly go list -deps -test ./... tool >/dev/null ||
		die "not all modules could be fetched; is the module proxy reachable?"
fi

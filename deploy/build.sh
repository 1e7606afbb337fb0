#!/usr/bin/env bash
# Builds the binary, to the file named. The same sources, VERSION and COMMIT give the same bytes wherever, whenever and by whomever it is
# built with the same Go and C compiler: no path, date or name of the machine gets into it, and nothing of the user's own settings.
set -euo pipefail
cd "$(dirname "$0")/.."
export GOOS=linux GOARCH=amd64 GOAMD64=v1 GOFIPS140=off CGO_ENABLED=1 CC=gcc CGO_CFLAGS='-O2 -g' CGO_LDFLAGS='-O2 -g'
unset CGO_CPPFLAGS GOEXPERIMENT GODEBUG
GOFLAGS=-p=${BUILD_JOBS:-$(nproc)} go build -trimpath -buildvcs=false -mod=readonly \
	-ldflags "-X main.version=${VERSION:-dev} -X main.commit=${COMMIT-}" -o "$1" ./cmd/endogate

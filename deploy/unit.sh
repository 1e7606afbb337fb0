#!/usr/bin/env bash
# Runs every test, or those of the packages named, with the race detector and the real peers. A skipped test fails the run. Properties are
# checked fifty times with a fixed seed, so that what was green stays green; deploy/fuzz.sh looks for more.
set -euo pipefail
cd "$(dirname "$0")/.."
export GOFLAGS=${GOFLAGS:--trimpath -buildvcs=false} # as deploy/build.sh compiles, so that tests find what it has compiled
ENDOGATE_TEST_PEERS=1 RAPID_SEED=1 RAPID_CHECKS=50 go test -json -race -vet=off -parallel 4 -timeout 60m "${@:-./...}" | go run ./cmd/verdict

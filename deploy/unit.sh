#!/usr/bin/env bash
# Runs every test, or those of the packages named, with the race detector and the real peers. A skipped test fails the run.
set -euo pipefail
cd "$(dirname "$0")/.."
ENDOGATE_TEST_PEERS=1 go test -json -race -parallel 4 -timeout 20m "${@:-./...}" | go run ./deploy/verdict

#!/usr/bin/env bash
# Runs every test, or those of the packages named, with the race detector and the real peers. A skipped test fails the run. Properties are
# checked fifty times with a fixed seed, so that what was green stays green; deploy/fuzz.sh looks for more.
set -euo pipefail
cd "$(dirname "$0")/.."
export GOFLAGS=${GOFLAGS:--trimpath -buildvcs=false} # as deploy/build.sh compiles, so that tests find what it has compiled

# Where one thing happens after another nothing races, and the race detector takes six times as long to find nothing: TestAlone_nothingRaces
# holds these packages to it.
alone=(
	endogate/configs/strict
	endogate/dicomnode/dicom
	endogate/dicomnode/dimse
	endogate/dicomnode/pdu
	endogate/inference/analysis
	endogate/inference/figures
)

# What the race detector is compiled into waits a second at its end (atexit_sleep_ms), and there are fifty packages and their children.
export GORACE=atexit_sleep_ms=20

tests() { ENDOGATE_TEST_PEERS=1 RAPID_SEED=1 RAPID_CHECKS=50 go test -json -vet=off -parallel 4 -timeout 60m "$@"; }
every() {
	local failed=0 raced
	# first those that take longest, so that none is left to run by itself at the end
	mapfile -t raced < <(go list ./cmd/endogate/gateway ./cmd/endogate/admin ./dicomnode/ledger ./... | grep -vxF -f <(printf '%s\n' "${alone[@]}"))
	tests -race "${raced[@]}" || failed=1
	tests "${alone[@]}" || failed=1
	return $failed
}
if [ $# -gt 0 ]; then tests -race "$@"; else every; fi | go run ./cmd/verdict

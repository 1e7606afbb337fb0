#!/usr/bin/env bash
# Runs every test with the real peers, and the race detector where things happen at once; of packages that are named, all with it. A skipped
# test fails the run. Properties are checked fifty times with a fixed seed, so that what was green stays green; deploy/fuzz.sh looks for more.
set -euo pipefail
cd "$(dirname "$0")/.."
export GOFLAGS=${GOFLAGS:--trimpath -buildvcs=false} # as deploy/build.sh compiles, so that tests find what it has compiled

# The race detector takes two to six times as long. Packages that compute, or only drive peers, are tested without it here, and of gateways, pages
# and commands as wholes, and of the ledger, a selection has it, those of most goroutines: make race has it for all.
computing=(
	endogate/cmd/bill
	endogate/cmd/endogate/deployment
	endogate/cmd/endogate/peers
	endogate/configs/strict
	endogate/dicomnode/dicom
	endogate/dicomnode/dimse
	endogate/dicomnode/pdu
	endogate/dicomnode/pixeldata
	endogate/explain
	endogate/explain/faithfulness
	endogate/explain/sampling
	endogate/inference
	endogate/inference/analysis
	endogate/inference/ask
	endogate/inference/figures
	endogate/inference/trial
	endogate/reports
	endogate/reports/draft
	endogate/reports/fhir
	endogate/reports/pdf
)
selected=(
	endogate/cmd/endogate/gateway
	endogate/cmd/endogate/admin
	endogate/dicomnode/ledger
	endogate/cmd/endogate
)
raced=(
	TestClose_refusesWrites
	TestCommands_together
	TestConcurrent
	TestCrash_kill
	TestGateway_associationsOverTLS
	TestGateway_backupUnderLoad
	TestGateway_brokerRestartedAndWiped
	TestGateway_cancelled
	TestGateway_clip
	TestGateway_costlyFrames
	TestGateway_damagedLedgerWhileRunning
	TestGateway_deadDestinationDelaysNobody
	TestGateway_draft
	TestGateway_edgesStopTogether
	TestGateway_hostileBytes
	TestGateway_lateFrameMakesRevision
	TestGateway_live
	TestGateway_notifications
	TestGateway_operations
	TestGateway_orders
	TestGateway_reload
	TestGateway_results
	TestGateway_roomsTakeTurns
	TestGateway_screening
	TestGateway_segmentGone
	TestGateway_statIsNext
	TestGateway_stopsInOrder
	TestJournal_rowsAfterIt
	TestLive
	TestMemory_endedStaysEnded
	TestPowerCut_group
	TestProber_hangingCheck
	TestProber_logsChanges
	TestProber_recovers
	TestProber_sharesAnswers
	TestProber_slow
	TestPutDraft
	TestServe_manyConnections
	TestServe_untilShutdown
	TestSessions
	TestShutdown_endsStuckRequests
	TestSignIn_guessing
	TestTasks
	TestTasks_turns
	TestTrouble_passes
	TestWrite_failureUndoesItsOwnOnly
	TestWrite_lostTransactionFailsAll
	TestWrite_panics
)

# What the race detector is compiled into waits a second at its end (atexit_sleep_ms), and there are fifty packages and their children.
export GORACE=atexit_sleep_ms=20

# With the race detector as make lint has it compiled.
tests_raced() { CGO_CFLAGS=-O0 tests -race "$@"; }
tests() { ENDOGATE_TEST_PEERS=1 RAPID_SEED=1 RAPID_CHECKS=50 go test -json -vet=off -parallel 4 -timeout 40m "$@" </dev/null; }
verdict() { go run ./cmd/verdict; }
plain=$(mktemp)
trap 'rm -f "$plain"' EXIT
every() {
	local failed=0 these rest
	these="^($(IFS='|'; echo "${raced[*]}"))\$"
	mapfile -t rest < <(go list ./dicomnode/spool ./... | grep -vxF -f <(printf '%s\n' "${computing[@]}" "${selected[@]}")) # first what takes longest
	# Both at once, as tests wait for peers more than they compute; as a pipe through which nothing goes, and not in the background, where a
	# Ctrl-C would not reach them.
	tests -p 2 -skip "$these" "${selected[@]}" "${computing[@]}" >"$plain" | {
		tests_raced -p 1 -run "$these" "${selected[@]}" || failed=1
		tests_raced -p 2 "${rest[@]}" || failed=1
		exit $failed
	} | verdict || failed=1
	verdict <"$plain" || failed=1
	return $failed
}
if [ $# -gt 0 ]; then tests_raced -p 3 "$@" | verdict; else every; fi

#!/usr/bin/env bash
# Every test at full size, within an hour: kills at each step between two durable points and at any time, power cuts, damage, disks
# full and read-only, clock steps, brokers and PACS that fail, ten thousand associations, a million messages by grammars that break their
# rules. What the proofs tried and saw goes to docs/drills.md. Then every fuzz target for a while. A machine that is too busy for all of it at
# once does it in parts: the output of go test -json of each in a file, and the files given to cmd/verdict.
set -euo pipefail
cd "$(dirname "$0")/.."
export ENDOGATE_DRILL=1 ENDOGATE_TEST_PEERS=1 RAPID_CHECKS=${RAPID_CHECKS:-300}

go test -count=1 -json -vet=off -parallel 2 -timeout 55m ./... |
	go run ./cmd/verdict -drills docs/drills.md -of "$(git describe --tags --always --dirty)"

targets=$(grep -rhoE '^func Fuzz' --include='*_test.go' . | wc -l)
timeout 6m deploy/fuzz.sh "$((200 / targets))s" 0
echo 'drill: everything held; docs/drills.md says what was tried'

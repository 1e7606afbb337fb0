#!/usr/bin/env bash
# The proofs of the whole gateway at full size, in twenty minutes at most: 30 kills, a PACS away for a minute,
# an object of 2 GiB, 500 instances on a cluster, a storm of hostile bytes, and every fuzz target for a while.
set -euo pipefail
cd "$(dirname "$0")/.."
export ENDOGATE_DRILL=1 ENDOGATE_TEST_PEERS=1

go test -count=1 -timeout 14m -v -run '^TestGateway_' -skip 'Viewer|whoMayCome' ./cmd/endogate/gateway | grep -v '^=== '

targets=$(grep -rhoE '^func Fuzz' --include='*_test.go' . | wc -l)
timeout 6m deploy/fuzz.sh "$((200 / targets))s" 0
echo 'drill: everything held'

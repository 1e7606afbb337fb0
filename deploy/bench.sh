#!/usr/bin/env bash
# Measures ingest, delivery and latency beside stock peers, then explanations beside the plain forward pass.
# BENCH_DIR names a folder on the file system to measure; it should be a journaled one. PART is a pattern of tests, such as Workers or
# Ingest, that are run alone; BENCH_TIMEOUT is how long they may take.
set -euo pipefail
cd "$(dirname "$0")/.."
go test -tags bench -count=1 -timeout "${BENCH_TIMEOUT:-20m}" -run "${PART:-.}" ./cmd/endogate/bench -v -args -binary "$PWD/bin/endogate" "$@"
[ -z "${PART:-}" ] || exit 0
go test -run '^$' -bench 'GradCAM|InputGradient|GuidedBackprop|Blocks' -benchtime 8x -timeout 15m ./explain # the least of eight runs
go test -run '^$' -bench 'Reports$' -benchtime 1x ./reports/reading # ten thousand reports
go test -run '^$' -bench 'Overlay|Heatmap$|Picture$' ./explain ./reports
if /usr/bin/python3 -c 'import torch, torchvision' 2>/dev/null; then # the same by PyTorch, beside it
	/usr/bin/python3 explain/testdata/bench.py
else
	echo 'bench: no PyTorch beside it: python3-torch and python3-torchvision are not installed'
fi

#!/usr/bin/env bash
# Runs every fuzz target of the module for the given time (default 30s), one after the other.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-30s}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# The fuzzer now and then reports the end of its own time as a failure, without a failing input.
only_out_of_time() { grep -q 'context deadline exceeded' "$log" && ! grep -qE 'Failing input|panic:|fuzz_test.go:' "$log"; }

grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u | while read -r package; do
	for target in $(grep -hoE '^func Fuzz[A-Za-z0-9_]*' "$package"/*_test.go | cut -d' ' -f2); do
		echo "fuzz $package $target $time"
		go test -run='^$' -fuzz="^$target\$" -fuzztime="$time" -fuzzminimizetime=10x "$package" >"$log" 2>&1 </dev/null ||
			only_out_of_time || { cat "$log"; exit 1; }
	done
done

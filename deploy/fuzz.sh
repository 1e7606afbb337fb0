#!/usr/bin/env bash
# Runs the property tests with fresh seeds and so many checks each (default 10000: two hundred times those of make test; 0: none),
# then every fuzz target for the given time (default 30s), one after the other.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-30s} checks=${2:-10000}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# The fuzzer now and then reports the end of its own time as a failure, without a failing input.
only_out_of_time() { grep -q 'context deadline exceeded' "$log" && ! grep -qE 'Failing input|panic:|fuzz_test.go:' "$log"; }

# A property that fails leaves its draw in testdata/rapid, which go test tries first from then on.
properties() { awk '/^func Test/ { name = $2; sub(/\(.*/, "", name) } /rapid\.Check\(/ { print name }' "$1"/*_test.go | sort -u; }

if [ "$checks" -gt 0 ]; then
	grep -rl --include='*_test.go' 'rapid\.Check(' . | xargs -n1 dirname | sort -u | while read -r package; do
		for property in $(properties "$package"); do
			echo "check $package $property $checks"
			ENDOGATE_TEST_PEERS=1 RAPID_CHECKS=$checks go test -count=1 -timeout 0 -run="^$property\$" "$package" </dev/null
		done
	done
fi

grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u | while read -r package; do
	for target in $(grep -hoE '^func Fuzz[A-Za-z0-9_]*' "$package"/*_test.go | cut -d' ' -f2); do
		echo "fuzz $package $target $time"
		go test -run='^$' -fuzz="^$target\$" -fuzztime="$time" -fuzzminimizetime=10x "$package" >"$log" 2>&1 </dev/null ||
			only_out_of_time || { cat "$log"; exit 1; }
	done
done

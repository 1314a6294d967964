#!/usr/bin/env bash
# Fuzzes every target with the given number of inputs each, 100000x unless told
# otherwise. A duration such as 10m works too, but up to Go 1.26 its end is now
# and then reported as a failure, "context deadline exceeded" (golang/go#75804).
# A failing input is kept under testdata/fuzz: commit it with the fix.
set -euo pipefail
cd "$(dirname "$0")/.."

budget=${1:-100000x}

mapfile -t folders < <(grep -rlE --include='*_test.go' '^func Fuzz' bench cmd conn poller | xargs -r -n1 dirname | sort -u)
if ((${#folders[@]} == 0)); then
	echo "no fuzz target found" >&2
	exit 1
fi
for folder in "${folders[@]}"; do
	for target in $(go test -list '^Fuzz' "./$folder" | grep '^Fuzz'); do
		echo "== $folder $target, $budget"
		# Shortening an input that reached new code takes up to a minute unless told
		# otherwise, and no new one is tried meanwhile.
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$budget" -fuzzminimizetime 1s "./$folder"
	done
done

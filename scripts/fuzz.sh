#!/usr/bin/env bash
# Fuzzes every target for the given time each, 20s unless told otherwise.
# A failing input is kept under testdata/fuzz: commit it with the fix.
set -euo pipefail
cd "$(dirname "$0")/.."

duration=${1:-20s}

mapfile -t folders < <(grep -rlE --include='*_test.go' '^func Fuzz' bench cmd conn poller | xargs -r -n1 dirname | sort -u)
if ((${#folders[@]} == 0)); then
	echo "no fuzz target found" >&2
	exit 1
fi
for folder in "${folders[@]}"; do
	for target in $(go test -list '^Fuzz' "./$folder" | grep '^Fuzz'); do
		echo "== $folder $target, $duration"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$duration" "./$folder"
	done
done

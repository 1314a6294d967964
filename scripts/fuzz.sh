#!/usr/bin/env bash
# Fuzzes every target for about so many seconds each, 20 unless told otherwise. The
# time is turned into a number of inputs by a short run before: up to Go 1.26 the end
# of a timed run is now and then reported as a failure, "context deadline exceeded"
# (golang/go#75804). A failing input is kept under testdata/fuzz: commit it with the fix.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-20}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || { echo "usage: scripts/fuzz.sh [SECONDS]" >&2; exit 2; }

mapfile -t folders < <(grep -rlE --include='*_test.go' '^func Fuzz' bench cmd conn poller | xargs -r -n1 dirname | sort -u)
if ((${#folders[@]} == 0)); then
	echo "no fuzz target found" >&2
	exit 1
fi
for folder in "${folders[@]}"; do
	for target in $(go test -list '^Fuzz' "./$folder" | grep '^Fuzz'); do
		fuzz() { # number of inputs
			# Shortening an input that reached new code takes up to a minute unless told
			# otherwise, and no new one is tried meanwhile.
			go test -run '^$' -fuzz "^$target\$" -fuzztime "${1}x" -fuzzminimizetime 1s "./$folder"
		}
		echo "== $folder $target, about $seconds s"
		sample=5000 start=${EPOCHREALTIME/./}
		fuzz "$sample"
		took=$((${EPOCHREALTIME/./} - start))
		fuzz $((sample * seconds * 1000000 / took))
	done
done

#!/usr/bin/env bash
# Runs the server in the simulator (ARCHITECTURE.md, "The simulator"): so many seeds
# from the first one on, on all processors.
#
# Usage: scripts/simulate.sh [SEEDS [FIRST]]
#        scripts/simulate.sh --replay SEED    prints every step of one seed
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
go run -tags roostsim ./poller/sim/rewrite "$work/overlay"
go test -c -vet=off -tags roostsim -overlay "$work/overlay/overlay.json" -o "$work/simulate" ./conn/simtest
export GOMAXPROCS=1 GOGC=400 # a world has one step at a time

if [[ ${1:-} == --replay ]]; then
	seed=${2:?which seed?}
	"$work/simulate" -test.run 'TestSeeds$' -count 1 -first "$seed" -trace
	exit
fi

seeds=${1:-20000}
first=${2:-1}
processes=$(nproc)
"$work/simulate" -test.run 'TestReplay$'
pids=()
for ((i = 0; i < processes; i++)); do
	"$work/simulate" -test.run 'TestSeeds$' -test.timeout 0 -first $((first + i)) -stride "$processes" \
		-count $(((seeds - i + processes - 1) / processes)) $( ((i == 0)) || echo -quiet) &
	pids+=($!)
done
failed=0
for pid in "${pids[@]}"; do
	wait "$pid" || failed=1
done
if ((failed)); then
	echo "simulation: FAILED" >&2
	exit 1
fi
echo "simulation: $seeds seeds from $first on, no fault, in $SECONDS s"

#!/usr/bin/env bash
# Compares the Go benchmarks of the working tree with those of commit REF, in
# turns, so that a machine that drifts drifts for both, and prints what benchstat
# finds significant. What only one side has is listed alone.
#
#   scripts/compare-bench.sh REF [ROUNDS [PATTERN [PACKAGE...]]]
#   scripts/compare-bench.sh HEAD~1 10 'Echo|Broadcast' ./conn ./conn/hub
#
# ROUNDS is 6 unless told otherwise: fewer cannot be significant. TIME_EACH, 300ms,
# is the time for each benchmark and round. Leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/.."

version=v0.0.0-20260908200009-22c9c6c9d4da # of golang.org/x/perf, as in go.mod

usage() {
	sed -n '2,10s/^# \{0,1\}//p' "$0" >&2
	exit 2
}
ref=${1:-} rounds=${2:-6} pattern=${3:-.}
[[ -n $ref && $rounds =~ ^[1-9][0-9]*$ ]] || usage
commit=$(git rev-parse --verify --quiet "$ref^{commit}") || { echo "$ref is no commit" >&2; exit 2; }
packages=("${@:4}")
((${#packages[@]})) || mapfile -t packages < <(grep -rlE --include='*_test.go' '^func Benchmark' conn poller bench cmd | xargs -r -n1 dirname | sort -u)

repository=$PWD work=$(mktemp -d)
# shellcheck disable=SC2317 # called by trap
cleanup() {
	git -C "$repository" worktree remove --force "$work/old-tree" 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
git worktree add --quiet --detach "$work/old-tree" "$commit"

declare -A tree=([old]=$work/old-tree [new]=$PWD)
for side in old new; do
	mkdir "$work/$side"
	for package in "${packages[@]}"; do
		[[ -d ${tree[$side]}/$package ]] || continue
		go test -C "${tree[$side]}" -c -o "$work/$side/${package//\//_}.test" "./${package#./}"
	done
done
for ((round = 1; round <= rounds; round++)); do
	sides=(old new)
	((round % 2)) || sides=(new old) # neither is always the second
	for package in "${packages[@]}"; do
		for side in "${sides[@]}"; do
			[[ -x $work/$side/${package//\//_}.test ]] || continue
			echo "round $round of $rounds: ${package#./}, $side" >&2
			(cd "${tree[$side]}/$package" && "$work/$side/${package//\//_}.test" -test.run '^$' -test.bench "$pattern" -test.benchmem \
				-test.benchtime "${TIME_EACH:-300ms}") >>"$work/$side.txt"
		done
	done
done
echo "old is $(git log -1 --format='%h, %s' "$commit"); new is the working tree"
go run "golang.org/x/perf/cmd/benchstat@$version" "old=$work/old.txt" "new=$work/new.txt"

#!/usr/bin/env bash
# Runs the same load against several servers in turn, round after round, so that
# a machine that drifts drifts for all, then compares them and writes an HTML
# report. A side is NAME='COMMAND THAT STARTS THE SERVER'; what comes after -- goes
# to every roost-bench run.
#
#   scripts/side-by-side.sh 5 roost='bin/roost --listen 127.0.0.1:8100' \
#     other='bin/other -listen 127.0.0.1:8100' -- --url ws://127.0.0.1:8100/ws --scenario broadcast
set -euo pipefail

usage() {
	sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
	exit 2
}

[[ ${1:-} =~ ^[1-9][0-9]*$ ]] || usage
rounds=$1
shift
names=() commands=()
while (($# > 0)) && [[ $1 != -- ]]; do
	[[ $1 == *=* ]] || usage
	names+=("${1%%=*}")
	commands+=("${1#*=}")
	shift
done
((${#names[@]} >= 2 && $# > 1)) || usage
shift

bench=$(dirname "$0")/../bin/roost-bench
[[ -x $bench ]] || go build -C "$(dirname "$0")/.." -o bin/ ./cmd/roost-bench
folder=results/side-by-side-$(date -u +%Y%m%dT%H%M%SZ)
for ((round = 1; round <= rounds; round++)); do
	for i in "${!names[@]}"; do
		echo "== round $round of $rounds: ${names[i]}" >&2
		"$bench" run --exec "${commands[i]}" "$@" --quiet --out "$folder/${names[i]}/$round.json" |
			grep -E '^(rate|delivery|round trip|handshake|held|server memory|server cpu|problem|result)'
	done
done

sides=() files=()
for name in "${names[@]}"; do
	sides+=("$name=$folder/$name")
	files+=("$folder/$name"/*.json)
done
"$bench" report --format html -o "$folder/report.html" "${files[@]}"
"$bench" compare "${sides[@]}" | tee "$folder/compare.txt"
echo "report: $folder/report.html"

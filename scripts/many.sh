#!/usr/bin/env bash
# Opens N connections (default 100,000) with one roost-bench command, against as
# many roost processes on this machine as its descriptor limit makes necessary.
# Every connection must open, last, and answer a ping. Installs nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

connections=${1:-100000}
each=$(($(ulimit -Hn) - 200))
((each < connections)) || each=$connections
servers=$(((connections + each - 1) / each))

scripts/build.sh
log=$(mktemp -d)
pids=() urls=()
cleanup() {
	((${#pids[@]} == 0)) || kill "${pids[@]}" 2>/dev/null || true
	wait
	rm -rf "$log"
}
trap cleanup EXIT
for ((i = 0; i < servers; i++)); do
	# So many processes on few cores take their turns: what answers late has not failed.
	bin/roost --listen 127.0.0.1:0 --admin= --handshake-timeout 1m --ping-interval 10m --log-format json 2>"$log/$i" &
	pids+=($!)
done
for ((i = 0; i < servers; i++)); do
	until address=$(grep -o '127\.0\.0\.1:[0-9]*' "$log/$i" | head -1) && [[ -n $address ]]; do
		kill -0 "${pids[i]}" || { cat "$log/$i" >&2; exit 1; }
		sleep 0.1
	done
	urls+=(--url "ws://$address/ws")
done
echo "$connections connections, $servers servers"
bin/roost-bench run "${urls[@]}" --scenario idle --conns "$connections" --duration 5s --out none \
	--handshake-timeout 1m --timeout 1m \
	--assert "opened==$connections" --assert 'dropped==0' --assert 'pings_unanswered==0'

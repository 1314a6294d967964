#!/usr/bin/env bash
# Attacks a server with N connections (default 5,000) in ten ways while 1,000 healthy
# ones are broadcast to. The healthy must lose nothing and their p99 stay within three times
# that of the same run before the attack; the server's memory stays below a bound;
# each attack shows under its own reason when the server ends.
set -euo pipefail
cd "$(dirname "$0")/.."

hostile=${1:-5000} healthy=${2:-1000} bound=${3:-256MB}
scripts/build.sh
ulimit -n "$(ulimit -Hn)"
log=$(mktemp)
bin/roost --listen 127.0.0.1:0 --admin= --handshake-timeout 5s 2>"$log" &
roost_pid=$!
trap 'kill "$roost_pid" 2>/dev/null || true; rm -f "$log"' EXIT
until address=$(grep -o '127\.0\.0\.1:[0-9]*' "$log" | head -1) && [[ -n $address ]]; do
	kill -0 "$roost_pid"
	sleep 0.1
done

bin/roost-bench run --url "ws://$address/ws" --pid "$roost_pid" --scenario hostile \
	--conns $((hostile + healthy)) --active "$healthy" --duration 20s --payload 2000 --quiet --out none \
	--assert "rss<$bound" --assert 'healthy.lost==0'

kill -TERM "$roost_pid"
wait "$roost_pid"
ended=$(grep 'msg=stopped' "$log")
echo "$ended"
for reason in handshake-timeout peer-reset protocol-error too-big peer-closed; do
	grep -q "ended.$reason=" <<<"$ended" || { echo "no connection ended with reason $reason" >&2; exit 1; }
done

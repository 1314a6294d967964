#!/usr/bin/env bash
# An operator's day with N connections (default 10,000): starts roost from a
# configuration file, opens them, finds the slow one among them and closes it, lowers a limit with
# SIGHUP, and rolls to a new process on the same port: the old one is drained over
# DRAIN seconds (default 30) while others keep coming, and none of them is refused. Each step must show
# in the metrics. Takes two minutes; keeps nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/start-roost.sh
. scripts/start-roost.sh

connections=${1:-10000} drain=${2:-30}
[[ $connections =~ ^[1-9][0-9]*$ && $drain =~ ^[1-9][0-9]*$ ]] || { echo "usage: scripts/operate.sh [N] [DRAIN]" >&2; exit 2; }
scripts/build.sh
ulimit -n "$(ulimit -Hn)"
work=$(mktemp -d)
pids=()
# shellcheck disable=SC2317 # called by trap
cleanup() {
	local status=$?
	((${#pids[@]} == 0)) || kill "${pids[@]}" 2>/dev/null || true
	((status == 0)) || tail -n 30 "$work"/*.log >&2 || true
	rm -rf "$work"
}
trap cleanup EXIT

port=$(free_port) old_admin=$(free_port) new_admin=$(free_port)

step() { printf '\n%s\n' "$*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }

# until_metric waits until a series compares as wished, for two minutes at most.
until_metric() { # admin port, series, comparison of test(1), number
	local value deadline=$((SECONDS + 120))
	until value=$(metric "$1" "$2") && [ "$value" "$3" "$4" ]; do
		((SECONDS < deadline)) || fail "$2 is ${value:-unknown}, want $3 $4"
		sleep 0.2
	done
	echo "  $2 $value"
}

start() { # name, admin port
	bin/roost --config "$work/roost.yaml" --admin "127.0.0.1:$2" 2>"$work/$1.log" &
	pids+=($!)
	started=$!
	await_ready "$started" "$2" || fail "the $1 process has ended"
	echo "  process $started is ready"
}

cat >"$work/roost.yaml" <<YAML
listen: ["127.0.0.1:$port"]
reuseport: true
max-conns: $((connections + 2000))
slow-consumer: drop
write-queue-bytes: 64MiB
drain-time: ${drain}s
ping-interval: 0s
tcp-user-timeout: 0s
YAML

step "1. start from a configuration file"
start old "$old_admin"
old=$started
bin/roost config --config "$work/roost.yaml" | grep -F "$work/roost.yaml" | sed 's/^/  /'

step "2. $connections connections"
bin/roost-bench run --url "ws://127.0.0.1:$port/ws" --scenario idle --conns "$connections" \
	--duration $((240 + drain))s --expect-close 1001 --quiet --out none >"$work/idle.log" 2>&1 &
idle=$!
pids+=("$idle")
until_metric "$old_admin" roost_connections -ge "$connections"

step "3. one of them reads slowly: find it, close it"
bin/roost-bench run --url "ws://127.0.0.1:$port/ws" --scenario slow --conns 10 --slow-share 0.1 --slow-rate 100 \
	--payload 16000 --rate 5/s --duration 120s --quiet --out none >"$work/slow.log" 2>&1 &
slow=$!
pids+=("$slow")
until_metric "$old_admin" roost_write_queue_bytes -gt 100000
worst=$(curl -sS --fail "http://127.0.0.1:$old_admin/debug/conns?sort=queue&limit=1&format=json")
jq -c '.[0]' <<<"$worst" | sed 's/^/  /'
id=$(jq -r '.[0].id' <<<"$worst")
curl -sS --fail -X POST "http://127.0.0.1:$old_admin/debug/conns/$id/close" | sed 's/^/  /'
until_metric "$old_admin" 'roost_closes_total{reason="operator"}' -eq 1
kill "$slow" && wait "$slow" || true # it has lost one, and says so

step "4. lower a limit with SIGHUP: the next client is refused"
limit() {
	sed -i "s/^max-conns: .*/max-conns: $1/" "$work/roost.yaml"
	kill -HUP "$old"
	until bin/roost health --ready --admin "127.0.0.1:$old_admin" >/dev/null 2>&1 && [[ $2 == 0 ]] ||
		{ ! bin/roost health --ready --admin "127.0.0.1:$old_admin" >/dev/null 2>&1 && [[ $2 == 1 ]]; }; do sleep 0.1; done
}
limit "$connections" 1
answer=$(curl -sS -o /dev/null -w '%{http_code}' -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' \
	-H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' "http://127.0.0.1:$port/ws")
[[ $answer == 503 ]] || fail "answered with $answer, want 503"
until_metric "$old_admin" 'roost_closes_total{reason="overloaded"}' -ge 1
limit $((connections + 2000)) 0

step "5. a new process on the same port, while clients keep coming"
# What the kernel has queued for a listener moves to the other one when it is closed
# (ip-sysctl, tcp_migrate_req, Linux 5.14). Without, a connection that comes between
# the last accept and the close is reset: rare, and nothing a process can do about.
migrate=/proc/sys/net/ipv4/tcp_migrate_req
if [[ -w $migrate && $(<$migrate) == 0 ]]; then
	echo 1 >$migrate && trap 'echo 0 >$migrate; cleanup' EXIT
fi
bin/roost-bench run --url "ws://127.0.0.1:$port/ws" --scenario churn --conns 20 --rate 100/s --duration $((drain + 20))s \
	--quiet --out none >"$work/churn.log" 2>&1 &
churn=$!
pids+=("$churn")
until_metric "$old_admin" roost_accepts_total -ge $(($(metric "$old_admin" roost_accepts_total) + 100))
start new "$new_admin"
new=$started
until_metric "$new_admin" roost_accepts_total -ge 50 # they share the port

step "6. drain the old process over $drain s"
kill -TERM "$old"
until [[ $(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$old_admin/readyz") == 503 ]]; do sleep 0.1; done
before=$(metric "$old_admin" roost_connections)
for ((i = 0; i < 4; i++)); do
	sleep $((drain / 5))
	left=$(metric "$old_admin" roost_connections) || fail "the old process is gone too early"
	echo "  $left connections left"
	((left < before)) || fail "nobody was closed meanwhile"
	before=$left
done
wait "$old" || fail "the old process ended with $?"
wait "$idle" || { cat "$work/idle.log" >&2; fail "not every connection was closed with 1001"; }
grep -E 'msg=(draining|stopped)' "$work/old.log" | tail -n 3 | sed 's/^/  /'

step "7. nobody was refused"
wait "$churn" || { cat "$work/churn.log" >&2; fail "a client was refused"; }
grep -E '^churn ' "$work/churn.log" | sed 's/^/  /'
until_metric "$new_admin" roost_accepts_total -gt $((drain * 100)) # all that came during the drain
kill -TERM "$new"
wait "$new" || fail "the new process ended with $?"
pids=()
echo
echo "an operator's day: all as wished"

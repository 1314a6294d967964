#!/usr/bin/env bash
# A cluster on this machine: nats-server, NODES roost processes (default: as many as the
# descriptor limit makes necessary for CONNS), and roost-bench with CONNS connections
# (default 100,000) on all of them. A back end publishes MESSAGES (default 20) to everybody through one node:
# every connection must get each once and in order. Then it prints what each
# process took, and stops what it started.
#
# Usage: scripts/cluster-local.sh [--one-port] [NODES] [CONNS] [MESSAGES]
#        --one-port has the nodes share a port (--reuseport) instead of one each
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/start-roost.sh
. scripts/start-roost.sh

one_port=
[[ ${1:-} != --one-port ]] || { one_port=1; shift; }
conns=${2:-100000} messages=${3:-20}
ulimit -n "$(ulimit -Hn)"
each=$(($(ulimit -n) - 200))
# On one port the kernel deals connections out by chance: leave room for that.
[[ -z $one_port ]] || each=$((each * 9 / 10))
needed=$(((conns + each - 1) / each))
nodes=${1:-$((needed < 2 ? 2 : needed))}
for n in "$nodes" "$conns" "$messages"; do
	[[ $n =~ ^[1-9][0-9]*$ ]] || { sed -n 's/^# //; /^Usage/,/instead/p' scripts/cluster-local.sh >&2; exit 2; }
done
((nodes >= needed)) || { echo "$conns connections need $needed nodes with $each descriptors each; raise 'ulimit -n' or the number of nodes" >&2; exit 2; }

scripts/build.sh
go build -o bin/nats-server github.com/nats-io/nats-server/v2

work=$(mktemp -d)
pids=() names=()
# shellcheck disable=SC2317 # called by trap
cleanup() {
	local status=$?
	((${#pids[@]} == 0)) || kill "${pids[@]}" 2>/dev/null || true
	((status == 0)) || tail -n 20 "$work"/*.log >&2 || true
	wait
	rm -rf "$work"
}
trap cleanup EXIT

run() { # name, command
	names+=("$1")
	"${@:2}" 2>"$work/$1.log" >&2 &
	pids+=($!)
}

nats=$(free_port)
run nats-server bin/nats-server -a 127.0.0.1 -p "$nats"
until accepts "$nats"; do kill -0 "${pids[0]}"; sleep 0.1; done

admins=() urls=()
port=$(free_port)
for ((i = 0; i < nodes; i++)); do
	((i == 0)) || [[ -n $one_port ]] || port=$(free_port)
	admin=$(free_port)
	# So many processes on few cores take their turns: what answers late has not failed.
	run "node$i" bin/roost --listen "127.0.0.1:$port" ${one_port:+--reuseport} --admin "127.0.0.1:$admin" \
		--cluster "nats://127.0.0.1:$nats" --handshake-timeout 1m --ping-interval 10m --tcp-user-timeout 0
	await_ready "${pids[i + 1]}" "$admin" # and connected to the others
	admins+=("$admin")
	[[ -n $one_port && $i -gt 0 ]] || urls+=(--url "ws://127.0.0.1:$port/ws")
done
echo "$nodes nodes, $conns connections, $messages messages through node0"

bin/roost-bench run "${urls[@]}" --scenario broadcast --conns "$conns" --handshake-timeout 1m --timeout 1m \
	--publish-http "http://127.0.0.1:${admins[0]}/publish?wait=8s" --in-flight 1 --messages "$messages" --text --out none \
	--assert "opened==$conns" --assert 'lost==0' --assert 'duplicate==0' --assert 'out_of_order==0'

printf '\n%-12s %12s %12s %12s\n' process 'memory MB' 'CPU s' 'connections'
ticks=$(getconf CLK_TCK)
for i in "${!pids[@]}"; do
	# proc_pid_stat(5): utime and stime are fields 14 and 15; the name in field 2 has no space here.
	read -r -a stat <"/proc/${pids[i]}/stat"
	opened=
	((i == 0)) || opened=$(metric "${admins[i - 1]}" 'roost_upgrades_total{result="accepted"}' || true)
	printf '%-12s %12.1f %12.1f %12s\n' "${names[i]}" \
		"$(awk '/^VmRSS/ { print $2 / 1000 }' "/proc/${pids[i]}/status")" \
		"$(awk -v t="$ticks" -v n="$((stat[13] + stat[14]))" 'BEGIN { print n / t }')" "$opened"
done

for i in "${!pids[@]}"; do
	kill -TERM "${pids[i]}"
done
for i in "${!pids[@]}"; do
	wait "${pids[i]}" || { echo "${names[i]} ended with $?" >&2; exit 1; }
done
pids=()
echo "all processes ended with 0 after SIGTERM"

#!/usr/bin/env bash
# Runs roost for MINUTES (default 10) under a mixture of everything: broadcasts to
# some, connections that come and go, and attackers. Memory must stay flat; when all
# have left, descriptors and goroutines must be what they were. Keeps a report with
# the plots of all three in FOLDER (default results/soak-TIME).
#
#   scripts/soak.sh [MINUTES] [FOLDER]
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/start-roost.sh
. scripts/start-roost.sh

minutes=${1:-10} folder=${2:-results/soak-$(date +%Y%m%d-%H%M%S)}
[[ $minutes =~ ^[1-9][0-9]*$ ]] || { echo "usage: scripts/soak.sh [MINUTES] [FOLDER]" >&2; exit 2; }
seconds=$((minutes * 60))
scripts/build.sh
ulimit -n "$(ulimit -Hn)"
mkdir -p "$folder"
log=$folder/roost.log
pids=()
trap '((${#pids[@]} == 0)) || kill "${pids[@]}" 2>/dev/null || true' EXIT

port=$(free_port) admin=$(free_port)
url=ws://127.0.0.1:$port/ws
bin/roost --listen "127.0.0.1:$port" --admin "127.0.0.1:$admin" --handshake-timeout 5s 2>"$log" &
roost=$!
pids+=("$roost")
await_ready "$roost" "$admin"
sample() { metric "$admin" "$1"; }

# A first crowd, which comes and goes: what is kept for the next one is there.
bin/roost-bench run --url "$url" --scenario broadcast --conns 500 --messages 50 --quiet --out none >/dev/null
settle() {
	local deadline=$((SECONDS + 60))
	until (($(sample roost_connections) + $(sample roost_handshakes_in_progress) + $(sample roost_closing_connections) == 0)); do
		((SECONDS < deadline)) || { echo "connections are left" >&2; exit 1; }
		sleep 0.5
	done
	sleep 6 # kept-alive connections of the samples themselves
}
settle
descriptors=$(sample process_open_fds) goroutines=$(sample go_goroutines)

# Each kind of load ends by itself. The broadcast is the one that must be perfect.
bin/roost-bench run --url "$url" --scenario broadcast --conns 500 --rate 20/s --messages 0 --duration "${seconds}s" \
	--metrics "http://127.0.0.1:$admin/metrics" --metrics-match '^(process_resident_memory_bytes|process_open_fds|go_goroutines|roost_connections|roost_write_queue_bytes)$' \
	--quiet --out "$folder/soak.json" --assert 'lost==0' >"$folder/broadcast.txt" 2>&1 &
broadcast=$!
bin/roost-bench run --url "$url" --scenario churn --conns 20 --rate 200/s --duration "${seconds}s" --quiet --out none >"$folder/churn.txt" 2>&1 &
churn=$!
pids+=("$broadcast" "$churn")
attack() {
	while ((SECONDS < until)); do
		bin/roost-bench run --url "$url" --scenario hostile --conns 300 --active 20 --duration 10s --tolerate 1000 --quiet --out none || return
	done
}
until=$((SECONDS + seconds - 20))
attack >"$folder/hostile.txt" 2>&1 &
hostile=$!
pids+=("$hostile")

resident=() began=$SECONDS told=-30
while kill -0 "$broadcast" 2>/dev/null; do
	resident+=("$(sample process_resident_memory_bytes)")
	if ((SECONDS - began >= told + 30)); then
		told=$((SECONDS - began))
		echo "$told s: $((resident[-1] / 1000000)) MB, $(sample roost_connections) connections, $(sample process_open_fds) descriptors, $(sample go_goroutines) goroutines"
	fi
	sleep 2
done
for name in broadcast churn hostile; do
	wait "${!name}" || { tail -n 20 "$folder/$name.txt" >&2; echo "FAILED: $name" >&2; exit 1; }
done
settle

median() { printf '%s\n' "$@" | sort -n | sed -n "$(($# / 2 + 1))p"; }
part=$((${#resident[@]} / 3))
early=$(median "${resident[@]:part:part}") late=$(median "${resident[@]:2*part}")
echo "resident memory: $((early / 1000000)) MB in the second third, $((late / 1000000)) MB in the last"
echo "descriptors: $descriptors before, $(sample process_open_fds) after; goroutines: $goroutines before, $(sample go_goroutines) after"
bin/roost-bench report "$folder/soak.json" --format html --output "$folder/soak.html"
echo "plots: $folder/soak.html"
((late <= early + early / 10 + 4000000)) || { echo "FAILED: memory grows" >&2; exit 1; }
(($(sample process_open_fds) <= descriptors + 2)) || { echo "FAILED: descriptors are left" >&2; exit 1; }
(($(sample go_goroutines) <= goroutines + 2)) || { echo "FAILED: goroutines are left" >&2; exit 1; }
kill -TERM "$roost"
wait "$roost"
pids=()
grep 'msg=stopped' "$log"

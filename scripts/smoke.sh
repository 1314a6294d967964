#!/usr/bin/env bash
# Runs what README.md promises, as it is written there: serves the page, runs
# the commands of README.md that end by themselves, broadcasts 100 messages to 15,000
# connections, and stops under load with every client told so.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/start-roost.sh
. scripts/start-roost.sh

connections=${1:-15000}

start_roost
echo "== the page"
curl -fsS "http://$address/" | grep -F '<title>roost</title>'
curl -fsS "http://$address/config.json"; echo
curl -fsS "http://$address/clients"; echo

# Lines that end in a backslash go on in the next.
mapfile -t commands < <(sed -e ':a' -e '/\\$/N; s/\\\n *//; ta' README.md |
	grep -E '^(openssl req|go run ./cmd/roost-bench|go run ./cmd/roost (plan|doctor)|go build|scripts/side-by-side.sh) ')
((${#commands[@]} >= 16)) || { echo "README.md has lost commands" >&2; exit 1; }
for command in "${commands[@]}"; do
	echo "== $command"
	[[ $command != *"./cmd/roost-bench run "* ]] || command+=" --quiet"
	bash -c "${command//127.0.0.1:8000/$address}"
done

echo "== the scenario file of README.md"
sed -n '/^```yaml$/,/^```$/{/^```/!p}' README.md >results/crowd.yaml
bin/roost-bench run --url "ws://$address/ws" --scenario results/crowd.yaml --quiet --out none --assert 'audience.lost==0'

echo "== the self-test of roost-bench"
bin/roost-bench selftest

echo "== 100 broadcasts to $connections connections"
bin/roost-bench run --url "ws://$address/ws" --scenario broadcast --conns "$connections" --messages 100 --pid "$roost_pid" --out none

echo "== SIGTERM while $connections connections are broadcast to"
log=$(mktemp)
bin/roost-bench run --url "ws://$address/ws" --scenario broadcast --conns "$connections" --messages 1000000 \
	--expect-close 1001 --out none 2>"$log" &
bench_pid=$!
trap 'kill "$bench_pid" "$roost_pid" 2>/dev/null || true' EXIT
until grep -q deliveries "$log"; do
	kill -0 "$bench_pid"
	sleep 0.2
done
stop_roost
wait "$bench_pid"
rm -f "$log"

echo "== go run ./cmd/roost"
ROOST_LISTEN=$address go run ./cmd/roost &
run_pid=$!
trap 'pkill -P "$run_pid" 2>/dev/null || true' EXIT
until curl -fsS "http://$address/" >/dev/null 2>&1; do
	kill -0 "$run_pid"
	sleep 0.2
done
pkill -TERM -P "$run_pid"
wait "$run_pid"
trap - EXIT

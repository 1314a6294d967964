#!/usr/bin/env bash
# Fails when an idle connection costs roost more memory than the ceiling: what the
# process's resident set grew by, divided by the number of connections.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/start-roost.sh
. scripts/start-roost.sh

connections=18000
ceiling=350 # bytes per connection; 251 to 258 were measured

start_roost
result=$(bin/roost-bench run --url "ws://$address/ws" --scenario idle --conns "$connections" --duration 3s --pid "$roost_pid" --json --out none)
stop_roost

echo "$result"
bytes=$(jq -e '.server.rss_growth_bytes_per_connection' <<<"$result")
echo "$bytes bytes per connection at $connections connections, ceiling $ceiling"
jq -en --argjson bytes "$bytes" --argjson ceiling "$ceiling" '$bytes <= $ceiling' >/dev/null || {
	echo "an idle connection costs more than it may" >&2
	exit 1
}

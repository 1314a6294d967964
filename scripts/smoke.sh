#!/usr/bin/env bash
# Runs what README.md promises, for real: builds, serves, shows the page,
# broadcasts to a few thousand connections, and stops cleanly.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/start-roost.sh
. scripts/start-roost.sh

connections=${1:-3000}

start_roost

echo "== the page"
curl -fsS "http://$address/" | grep -F '<title>roost</title>'
curl -fsS "http://$address/config.json"; echo
curl -fsS "http://$address/clients"; echo

echo "== a broadcast to $connections connections"
bin/roost-bench run --url "ws://$address/ws" --scenario broadcast --conns "$connections" --messages 20 --pid "$roost_pid"

stop_roost

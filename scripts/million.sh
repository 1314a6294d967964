#!/usr/bin/env bash
# Holds N connections (default 1,000,000) in one roost process on this machine,
# broadcasts to all of them once, and ends with the account: what a connection
# costs the process by part, what it costs the kernel by slab, what a cycle of the
# garbage collector takes, and the times. Fails when a connection costs the process
# more than CEILING bytes (default 300), or anything did not open or arrive.
#
#   scripts/million.sh [N] [CEILING]
#
# One process needs N descriptors. Where the limit is lower, all runs in a guest
# (scripts/guest.sh). There, on two busy processors, 100,000 took eight and ten
# minutes; a million takes ten times that. Installs nothing and leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/.."

connections=${1:-1000000} ceiling=${2:-300}
[[ $connections =~ ^[1-9][0-9]*$ && $ceiling =~ ^[1-9][0-9]*$ ]] || { echo "usage: scripts/million.sh [N] [CEILING]" >&2; exit 2; }
seconds=$((900 + connections / 50)) # more takes only what hangs, or a machine that is busy with other things

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
scripts/build.sh "$work"

if (($(ulimit -Hn) >= connections + 200)); then
	ulimit -n "$(ulimit -Hn)"
	echo "natively: a process may open $(ulimit -n) descriptors here"
	timeout --foreground "$seconds" scripts/million-account.sh "$connections" "$ceiling" "$work"
	exit
fi

command -v jq >/dev/null || { echo "this takes: apt-get install jq" >&2; exit 2; }
# Both ends of a connection take 9 kB of kernel and process memory, and a message
# on its way another 2 kB. The host gives only what is touched.
megabytes=$((1024 + connections * 12 / 1000))
echo "in a guest with $megabytes MB, because a process may open $(ulimit -Hn) descriptors here: its times are not those of a machine"
scripts/guest.sh "$megabytes" "$seconds" scripts/million-account.sh "$connections" "$ceiling" "$work" &
guest=$!
trap 'kill "$guest"; wait "$guest"; exit 130' INT TERM
wait "$guest"

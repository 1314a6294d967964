#!/usr/bin/env bash
# The measuring part of million.sh, natively or in its guest: opens N connections
# to one roost, broadcasts once, and prints the account. Takes N, the ceiling in
# bytes, and a folder that holds both binaries and may be written to.
set -euo pipefail

connections=$1 ceiling=$2 work=$3
port=18000 # below the kernel's own range for clients, natively
pause=$((30 + connections / 10000)) # seconds between the last handshake and the broadcast, in which we measure

echo "roost doctor says:"
"$work/roost" doctor --conns "$connections" | sed -n '3,/^$/{/./s/^/  /p}' || true # what is too small shows below by itself

# Deadlines have no part in a connection's size. In the guest the pings of a long
# ramp would be answered too late.
GODEBUG=gctrace=1 "$work/roost" --listen "127.0.0.1:$port" --admin 127.0.0.1:0 --handshake-timeout 5m --ping-interval 10h 2>"$work/server.log" &
server=$!
bench=
# shellcheck disable=SC2317 # called by trap
cleanup() { kill -KILL "$server" ${bench:+"$bench"} 2>/dev/null || true; }
trap cleanup EXIT
until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
	kill -0 "$server" || { cat "$work/server.log" >&2; exit 1; }
	sleep 0.1
done

# snapshot NAME keeps what the process and the kernel hold now: bytes by part, a
# line each. Go's heap grows in pieces that begin at multiples of 4 MiB, and little
# else does; pages of a slab are taken whether each object in them is used or not.
snapshot() {
	awk '
		/^[0-9a-f]+-[0-9a-f]+ / { part = $6 != "" ? "program" : $1 ~ /[048c]00000-/ ? "heap" : "runtime" }
		/^Rss:/ { bytes[part] += $2 * 1024 }
		END { for (part in bytes) print part, bytes[part] }' "/proc/$server/smaps" >"$work/$1.user"
	: >"$work/$1.slabs"
	[[ ! -r /proc/slabinfo ]] || awk -v page="$(getconf PAGESIZE)" '
		NR > 2 {
			name = $1 ~ /^(TCP|TCPv6|sock_inode_cache|filp|dentry|eventpoll_epi|eventpoll_pwq|ep_head|lsm_inode_cache|lsm_file_cache)$/ ? $1 : "others,"
			bytes[name] += $15 * $6 * page
		}
		END { for (name in bytes) print name, bytes[name] }' /proc/slabinfo >"$work/$1.slabs"
}
# growth KIND prints a line for each part: bytes per connection, name.
growth() {
	awk -v n="$connections" 'NR == FNR { before[$1] = $2; next } { printf "%.1f %s\n", ($2 - before[$1]) / n, $1 }' \
		"$work/before.$1" "$work/open.$1" | sort -gr
}

# waits until the load generator is in phase $1 or has ended, and shows how far it
# has come every ten seconds.
reported=-10
await() {
	until grep -q "^$1: " "$work/progress" || ! kill -0 "$bench" 2>/dev/null; do
		((SECONDS - reported < 10)) || { tail -n 1 "$work/progress" >&2; reported=$SECONDS; }
		sleep 2
	done
}

snapshot before
"$work/roost-bench" run --url "ws://127.0.0.1:$port/ws" --scenario broadcast --conns "$connections" --messages 1 \
	--handshakes 512 --handshake-timeout 5m --timeout 5m --settle "${pause}s" --json --out none >"$work/result.json" 2>"$work/progress" &
bench=$!
await settle
kill -0 "$bench" 2>/dev/null || { cat "$work/progress" "$work/result.json" "$work/server.log" >&2; exit 1; }
snapshot open

# A collector's cycle with every connection open. Messages that are never finished
# make the garbage for it: Go waits for as much as there is alive.
cycles() { grep -c '^gc ' "$work/server.log" || true; }
garbage() {
	exec 3<>"/dev/tcp/127.0.0.1/$port"
	printf 'GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n' >&3
	printf '\x82\xff\0\0\0\0\0\x0f\xff\xff\0\0\0\0' >&3 # binary, 1 MiB - 1, masked with zeros
	head -c 1000000 /dev/zero >&3
	exec 3>&-
}
seen=$(cycles)
for ((i = 0; i < 500 && $(cycles) == seen; i++)); do
	garbage 2>/dev/null || true
done
gc=$(grep '^gc ' "$work/server.log" | tail -n +$((seen + 1)) | head -1)

await close
# With the server all connections end at once: nobody says goodbye a million times.
{ kill -KILL "$server" && wait "$server"; } 2>/dev/null || true
wait "$bench" || true # it says that the server left
bench=

result() { jq -r --argjson n "$connections" ".opening as \$o | .parts[0].messages as \$m | $1" "$work/result.json"; }
echo
echo "$connections connections, one roost process, one broadcast of 128 bytes"
result '"  opened    \($o.opened) in \($o.elapsed_seconds * 10 | round / 10) s",
	"  received  \($m.deliveries_received) of \($m.deliveries_expected) deliveries, the last after \($m.fan_out.max_us / 1e4 | round / 100) s"'
echo "the process, bytes per connection: what its resident set grew by"
growth user | awk '
	BEGIN { name["heap"] = "Go heap: objects, goroutines, and the headroom of the collector"; name["runtime"] = "tables of the Go runtime"; name["program"] = "program text and data" }
	{ printf "  %8.1f  %s\n", $1, name[$2] }'
user=$(growth user | awk '{ sum += $1 } END { printf "%.1f", sum }')
printf '  %8.1f  together; ceiling %d\n' "$user" "$ceiling"
if [[ -n $gc ]]; then
	awk -v n="$connections" '
		{
			split($5, clock, "+"); split($8, cpu, "+"); split(cpu[2], mark, "/"); split($11, heap, "->")
			printf "a garbage collection with all of them open\n"
			printf "  %8.1f  bytes per connection were alive, with what belongs to none (to a whole MB)\n", heap[3] * 1048576 / n
			printf "  %8.1f  ms of processor time, without idle processors\n", cpu[1] + mark[1] + mark[2] + cpu[3]
			printf "  %8.2f  ms was the longer of its two stops\n", (clock[1] > clock[3] ? clock[1] : clock[3])
			printf "  %s\n", $0
		}' <<<"$gc"
else
	echo "a garbage collection with all of them open: none was seen"
fi
if [[ -s $work/open.slabs ]]; then
	echo "the kernel, bytes per connection by slab; both ends are on this machine, a server has about half"
	growth slabs | awk '$1 >= 1 { sub(",.*", ", of this script too", $2); printf "  %8.1f  %s\n", $1, $2 } { sum += $1 } END { printf "  %8.1f  together\n", sum }'
else
	echo "the kernel: /proc/slabinfo can be read by root only"
fi

[[ $(result '$o.opened == $n and $m.deliveries_missing == 0 and $m.deliveries_expected == $n') == true ]] || {
	result '.problems[]' >&2
	echo "FAIL: not every connection opened, lasted and received" >&2
	exit 1
}
awk -v user="$user" -v ceiling="$ceiling" 'BEGIN { exit !(user <= ceiling) }' || { echo "FAIL: $user bytes per connection, ceiling $ceiling" >&2; exit 1; }
echo "PASS: $user bytes per connection, ceiling $ceiling"

#!/usr/bin/env bash
# The part of ktls.sh that runs where the kernel has TLS. Takes N, the ceiling in bytes,
# and a folder with both programs and the tests of poller/socket and conn/server.
set -euo pipefail

connections=$1 ceiling=$2 work=$3

modules=/usr/lib/uml/modules/$(uname -r)/kernel
if [[ -d $modules ]]; then
	for module in crypto/{gf128mul,ghash-generic,ctr,gcm} lib/crypto/lib{chacha,poly1305} \
		crypto/{chacha_generic,poly1305_generic,chacha20poly1305} net/tls/tls; do
		insmod "$modules/$module.ko"
	done
fi

export ROOST_REQUIRE_KTLS=1
(cd poller/socket && "$work/socket.test" -test.run 'TLS|Alert|Forged')
# Small buffers: the close, and the alert behind it, find them full.
[[ ! -d $modules ]] || echo "4096 16384 65536" >/proc/sys/net/ipv4/tcp_wmem
(cd conn/server && "$work/server.test" -test.timeout 280s \
	-test.run 'KernelTLS|EchoOverTLS|PlainAndSecure|SlowConsumerOverTLS|BacklogOverTLS|ShutdownOverTLS|HTTPOverTLS|Truncated')

port=18000 admin=18001
"$work/roost" --listen "tls:127.0.0.1:$port" --tls-cert "$work/cert.pem" --tls-key "$work/key.pem" --ktls require \
	--admin "127.0.0.1:$admin" --handshake-timeout 5m --ping-interval 10h &
server=$!
benches=()
# shellcheck disable=SC2317 # called by trap
cleanup() { kill -KILL "$server" "${benches[@]}" 2>/dev/null || true; }
trap cleanup EXIT
until "$work/roost" health --ready --admin "127.0.0.1:$admin" >/dev/null 2>&1; do
	kill -0 "$server"
	sleep 0.1
done

metric() { curl -sS --fail "http://127.0.0.1:$admin/metrics" | awk -v name="$1" '$1 == name { printf "%d\n", $2; found = 1 } END { exit !found }'; }
live() { # bytes of objects, right after a collection; what a pool holds survives one
	local heap="http://127.0.0.1:$admin/debug/pprof/heap?gc=1"
	for _ in 1 2; do curl -sS --fail -o /dev/null "$heap"; done
	curl -sS --fail "$heap&debug=1" | awk '/^# HeapAlloc = / { print $4 }'
}
slab() { awk '/^Slab:/ { print $2 * 1024 }' /proc/meminfo; }
resident() { awk '/^VmRSS/ { print $2 * 1024 }' "/proc/$server/status"; }
hold() { # connections more; returns when they are there
	local all=$(($(metric roost_tls_kernel_connections) + $1))
	"$work/roost-bench" run --url "wss://127.0.0.1:$port/ws" --ca "$work/cert.pem" --scenario idle --conns "$1" \
		--settle 10h --handshake-timeout 5m --timeout 5m --quiet --out none >/dev/null &
	benches+=($!)
	until (($(metric roost_tls_kernel_connections) == all)); do
		kill -0 "${benches[-1]}"
		sleep 1
	done
}

first=$((connections / 3)) # what they make the process grow by is not theirs alone
hold "$first"
live=$(live) resident=$(resident) slab=$(slab)
hold $((connections - first))
live=$((($(live) - live) / (connections - first)))
resident=$((($(resident) - resident) / (connections - first)))
slab=$((($(slab) - slab) / (connections - first)))
curl -sS --fail "http://127.0.0.1:$admin/debug/density" | grep -E '^TLS|on top for TLS'
echo "$live bytes of live objects per connection at $connections connections, $resident bytes of resident memory, ceiling $ceiling"
echo "the kernel's slabs grew by $slab bytes per connection: both ends, of which ours has TLS"
((live <= ceiling)) || { echo "an idle connection costs more than it may" >&2; exit 1; }

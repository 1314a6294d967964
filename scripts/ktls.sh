#!/usr/bin/env bash
# Runs the tests of TLS where the kernel does it, then holds N connections (default
# 900) over wss and measures what each takes of the process. Fails when that is more
# than CEILING bytes of live objects (default 450), or a connection is not in the kernel.
#
#   scripts/ktls.sh [N] [CEILING]
#
# Where this kernel has no TLS (modprobe tls), all runs in a guest (scripts/guest.sh)
# with the modules of user-mode-linux. Installs nothing and leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/.."

connections=${1:-900} ceiling=${2:-450}
[[ $connections =~ ^[1-9][0-9]*$ && $ceiling =~ ^[1-9][0-9]*$ ]] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
scripts/build.sh "$work"
go test -c -o "$work/socket.test" ./poller/socket
go test -c -o "$work/server.test" ./conn/server
generator=$(go env GOROOT)/src/crypto/tls/generate_cert.go
(cd "$work" && go run "$generator" --host 127.0.0.1 --ca --ecdsa-curve P256 2>/dev/null)

here=(scripts/ktls-account.sh "$connections" "$ceiling" "$work")
if grep -qw tls /proc/sys/net/ipv4/tcp_available_ulp; then
	"${here[@]}"
	exit
fi
command -v insmod >/dev/null || { echo "a guest with TLS takes: apt-get install kmod" >&2; exit 2; }
echo "in a guest, because this kernel has no TLS: its times are not those of a machine"
# A connection takes 50 kB on both sides, most of it the client's crypto/tls.
scripts/guest.sh $((1500 + connections / 20)) $((400 + connections / 8)) "${here[@]}" &
guest=$!
trap 'kill "$guest"; wait "$guest"; exit 130' INT TERM
wait "$guest"

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
(cd conn/server && "$work/server.test" -test.timeout 280s \
	-test.run 'TLS|Secure|Certificate|Record|Handshake|Truncated|Resumption|ServerName|LeastVersion|Renegotiation')

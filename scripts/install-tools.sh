#!/usr/bin/env bash
# Installs what the checks need beside Go, with apt, on Debian and as root:
# chromium (the chat page), gcc (the race detector), user-mode-linux, iproute2 and kmod
# (more connections than a process may have descriptors), systemd and shellcheck
# (packaging), curl, git and jq (scripts).
# Tools already there are left alone.
set -euo pipefail

missing=()
need() { command -v "$1" >/dev/null || missing+=("${@:2}"); }
need chromium chromium
need gcc gcc libc6-dev
need curl curl ca-certificates
need git git ca-certificates
need jq jq
need linux.uml user-mode-linux
need ip iproute2
need insmod kmod
need systemd-analyze systemd
need shellcheck shellcheck
if ((${#missing[@]} == 0)); then
	echo "nothing to install"
	exit
fi
echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive

# Only the network is tried again: a mirror may be busy or half updated.
for attempt in 1 2 3; do
	if apt-get update -q && apt-get install -q -y --no-install-recommends --download-only "${missing[@]}"; then
		break
	elif ((attempt == 3)); then
		exit 1
	fi
	sleep $((attempt * 10))
done
apt-get install -q -y --no-install-recommends "${missing[@]}"

#!/usr/bin/env bash
# Holds N connections (default 1,000,000) in one roost process on this machine,
# broadcasts to all of them once, and ends with the account: what a connection
# costs the process by part, what it costs the kernel by slab, what a cycle of the
# garbage collector takes, and the times. Fails when a connection costs the process
# more than CEILING bytes (default 300), or anything did not open or arrive.
#
#   scripts/million.sh [N] [CEILING]
#
# One process needs N descriptors. Where the limit is lower, all runs in a
# User-Mode Linux guest: a Linux kernel as an ordinary process, in which we are
# root. Sizes measured there are real; times are not, a system call takes about a
# hundred times as long. On two busy processors 100,000 took eight and ten minutes;
# a million takes ten times that. Installs nothing and leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/.."

connections=${1:-1000000} ceiling=${2:-300}
[[ $connections =~ ^[1-9][0-9]*$ && $ceiling =~ ^[1-9][0-9]*$ ]] || { echo "usage: scripts/million.sh [N] [CEILING]" >&2; exit 2; }
seconds=$((900 + connections / 50)) # more takes only what hangs, or a machine that is busy with other things

work=$(mktemp -d)
guest=
# shellcheck disable=SC2317 # called by trap
cleanup() {
	# The guest leads a session with a process for each of its own. The first of
	# the two is for the moment before it does.
	[[ -z $guest ]] || { kill -KILL "$guest"; kill -KILL -- "-$guest"; wait "$guest"; } 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
scripts/build.sh "$work"

if (($(ulimit -Hn) >= connections + 200)); then
	ulimit -n "$(ulimit -Hn)"
	echo "natively: a process may open $(ulimit -n) descriptors here"
	timeout --foreground "$seconds" scripts/million-account.sh "$connections" "$ceiling" "$work"
	exit
fi

missing=()
need() { command -v "$1" >/dev/null || missing+=("$2"); }
need linux.uml user-mode-linux
need ip iproute2
need jq jq
((${#missing[@]} == 0)) || {
	echo "a process may open $(ulimit -Hn) descriptors here, so this takes a guest, and that takes: apt-get install ${missing[*]}" >&2
	exit 2
}

# Both ends of a connection take 9 kB of kernel and process memory, and a message
# on its way another 2 kB. The host gives only what is touched.
megabytes=$((1024 + connections * 12 / 1000))
free=$(df --output=avail -BM /dev/shm | tail -1 | tr -dc 0-9)
((free >= megabytes)) || {
	echo "the guest's memory lies in /dev/shm: $connections connections take $megabytes MB, $free MB are free;" \
		"as root: mount -o remount,size=$((megabytes + 256))M /dev/shm" >&2
	exit 2
}
available=$(($(awk '/^MemAvailable/ { print $2 }' /proc/meminfo) / 1024))
((available >= megabytes)) || { echo "$connections connections take a guest with $megabytes MB, $available MB of memory are available" >&2; exit 2; }

# Everything but the program's own settings: what roost doctor would ask for.
cat >"$work/init" <<INIT
#!/bin/bash
export PATH=$(printf %q "$PATH") HOME=/nonexistent
mount -t proc proc /proc
mount -t sysfs sys /sys
ip link set lo up
cd /proc/sys
echo $((connections * 2 + 100000)) >fs/nr_open
echo $((connections * 4 + 100000)) >fs/file-max
echo 65535 >net/core/somaxconn
echo 65535 >net/ipv4/tcp_max_syn_backlog
echo "1024 65001" >net/ipv4/ip_local_port_range
echo "$((connections * 2)) $((connections * 3)) $((connections * 4))" >net/ipv4/tcp_mem
ulimit -n $((connections * 2 + 100000))
cd $(printf %q "$PWD")
scripts/million-account.sh $connections $ceiling $(printf %q "$work") </dev/null
echo \$? >$(printf %q "$work/status")
sync
echo guest-has-ended
exec sleep infinity # the host ends it: powering off would take another package
INIT
chmod +x "$work/init"

echo "in a guest with $megabytes MB, because a process may open $(ulimit -Hn) descriptors here: its times are not those of a machine"
mkfifo "$work/console"
# Go's own watchdog thread sleeps for 20 us at a time, and each of its turns would
# take as long as several of ours: highres=off makes that a tick of 10 ms.
TMPDIR=/dev/shm linux.uml mem="${megabytes}M" rootfstype=hostfs rootflags=/ rw init="$work/init" uml_dir="$work" \
	con=null con0=null,fd:1 quiet loglevel=1 highres=off </dev/null >"$work/console" 2>&1 &
guest=$!
exec 4<"$work/console"
while left=$((seconds - SECONDS)) && ((left > 0)) && IFS= read -r -u 4 -t "$left" line; do
	[[ $line != guest-has-ended* ]] || break
	printf '%s\n' "${line%$'\r'}"
done
[[ -s $work/status ]] || { echo "the guest ended before it was done, or $seconds s were over" >&2; exit 1; }
exit "$(<"$work/status")"

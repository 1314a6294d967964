#!/usr/bin/env bash
# Runs a command as root in a User-Mode Linux guest, a Linux kernel as an ordinary
# process, and ends as the command does. The guest sees this machine's files, has a
# network of its own with loopback only, and limits that a million connections need.
# Sizes measured there are real; times are not, a system call takes about a hundred
# times as long. Installs nothing and leaves nothing behind.
#
#   scripts/guest.sh MEGABYTES SECONDS COMMAND [ARGUMENT...]
#
# MEGABYTES of memory, of which the host gives what is touched. After SECONDS the
# guest is ended.
set -euo pipefail
cd "$(dirname "$0")/.."

[[ ${1:-} =~ ^[1-9][0-9]*$ && ${2:-} =~ ^[1-9][0-9]*$ && $# -ge 3 ]] || { sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 2; }
megabytes=$1 seconds=$2
shift 2

missing=()
need() { command -v "$1" >/dev/null || missing+=("$2"); }
need linux.uml user-mode-linux
need ip iproute2
((${#missing[@]} == 0)) || { echo "a guest takes: apt-get install ${missing[*]}" >&2; exit 2; }

free=$(df --output=avail -BM /dev/shm | tail -1 | tr -dc 0-9)
((free >= megabytes)) || {
	echo "the guest's memory lies in /dev/shm, of which it wants $megabytes MB and $free MB are free;" \
		"as root: mount -o remount,size=$((megabytes + 256))M /dev/shm" >&2
	exit 2
}
available=$(($(awk '/^MemAvailable/ { print $2 }' /proc/meminfo) / 1024))
((available >= megabytes)) || { echo "the guest wants $megabytes MB of memory, $available MB are available" >&2; exit 2; }

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

# Everything but the program's own settings: what roost doctor would ask for.
cat >"$work/init" <<INIT
#!/bin/bash
export PATH=$(printf %q "$PATH:/usr/sbin:/sbin") HOME=/nonexistent
mount -t proc proc /proc
mount -t sysfs sys /sys
ip link set lo up
cd /proc/sys
echo 4000000 >fs/nr_open
echo 8000000 >fs/file-max
echo 65535 >net/core/somaxconn
echo 65535 >net/ipv4/tcp_max_syn_backlog
echo "1024 65001" >net/ipv4/ip_local_port_range
echo "$((megabytes * 128)) $((megabytes * 192)) $((megabytes * 256))" >net/ipv4/tcp_mem
ulimit -n 4000000
cd $(printf %q "$PWD")
$(printf '%q ' "$@") </dev/null
echo \$? >$(printf %q "$work/status")
sync
echo guest-has-ended
exec sleep infinity # the host ends it: powering off would take another package
INIT
chmod +x "$work/init"

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

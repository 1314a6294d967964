# Sourced by the scripts that start servers. start_roost builds both binaries, starts
# roost on a free port of 127.0.0.1 and returns when it accepts. Sets roost_pid and address,
# and makes sure that this one process is gone when the script ends.
# shellcheck shell=bash

start_roost() {
	scripts/build.sh
	ulimit -n "$(ulimit -Hn)"

	local port
	port=$(free_port)
	address=127.0.0.1:$port
	bin/roost --listen "$address" --admin 127.0.0.1:0 &
	roost_pid=$!
	trap 'kill "$roost_pid" 2>/dev/null || true' EXIT
	until accepts "$port"; do
		kill -0 "$roost_pid" # ends the script when roost did not start
		sleep 0.1
	done
	echo "roost runs as process $roost_pid on $address"
}

# stop_roost ends it the way an operator does; it must exit with 0.
stop_roost() {
	kill -TERM "$roost_pid"
	wait "$roost_pid"
	trap - EXIT
	echo "roost ended with 0 after SIGTERM"
}

# free_port prints one on which nobody listens, below the kernel's own range.
free_port() {
	local port
	while port=$((20000 + RANDOM % 10000)); accepts "$port"; do :; done
	echo "$port"
}

# await_ready returns when the server of that process is ready, by its admin port.
await_ready() { # process, port
	until bin/roost health --ready --admin "127.0.0.1:$2" >/dev/null 2>&1; do
		kill -0 "$1" || return
		sleep 0.1
	done
}

# metric prints one series of the server with that admin port.
metric() { # port, series
	curl -sS --fail "http://127.0.0.1:$1/metrics" | awk -v name="$2" '$1 == name { printf "%d\n", $2; found = 1 } END { exit !found }'
}

accepts() {
	(exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

#!/usr/bin/env bash
# Compares roost with the servers in bench/peers: several scenarios, every server in
# turn, round after round, each run with a server that was just started. Prints a
# table of medians and keeps it with all recordings in results/peers-TIME.
#
#   scripts/compare-peers.sh [--secure] [--quick] [--rounds N] [SERVER...]
#
# Servers: floor roost gorilla coder gws nbio easygo (default: all). The first is
# what the others are measured by. With --secure: TLS and compression, and roost
# gorilla coder gws nbio. Five rounds take an hour and more; --quick makes three
# short ones in less than twenty minutes, good for a look but not for a claim.
# Sizes: MEMBERS of idle and broadcast, CLIENTS of the others, SECONDS_EACH.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	sed -n '2,13s/^# \{0,1\}//p' "$0" >&2
	exit 2
}

known=(floor roost gorilla coder gws nbio easygo)
scenarios=(idle broadcast flood echo churn echo-in-room)
secure='' quick='' rounds='' servers=()
while (($# > 0)); do
	case $1 in
	--secure)
		secure=1 known=(roost gorilla coder gws nbio)
		scenarios=(tls-idle tls-broadcast tls-echo tls-churn churn-in-room json-broadcast deflate-broadcast deflate-echo)
		;;
	--quick) quick=1 ;;
	--rounds)
		[[ ${2:-} =~ ^[1-9][0-9]*$ ]] || usage
		rounds=$2
		shift
		;;
	*) servers+=("$1") ;;
	esac
	shift
done
((${#servers[@]} > 0)) || servers=("${known[@]}")
for server in "${servers[@]}"; do
	[[ $server != *' '* && " ${known[*]} " == *" $server "* ]] || usage
done

ulimit -Sn "$(ulimit -Hn)"
descriptors=$(ulimit -n)
[[ $descriptors != unlimited ]] || descriptors=1000000
atMost() { echo $(($1 < $2 ? $1 : $2)); }
if [[ $quick ]]; then
	rounds=${rounds:-3} members=${MEMBERS:-9000} seconds=${SECONDS_EACH:-2} settle=1
else
	rounds=${rounds:-5} members=${MEMBERS:-18000} seconds=${SECONDS_EACH:-15} settle=5
fi
clients=$(atMost "${CLIENTS:-1000}" $((descriptors - 200)))
members=$(atMost "$members" $((descriptors - 200)))

# members_of is how many connections a server can take: easygo needs two
# descriptors for each. The table says so where the numbers differ.
members_of() {
	if [[ $1 == easygo ]]; then atMost "$members" $(((descriptors - 200) / 2)); else echo "$members"; fi
}

over_tls() { [[ $1 == tls-* || $1 == churn-in-room ]]; }
compressed() { [[ $1 == deflate-* ]]; }

# command and URL of a server for a scenario. All serve /ws as a room and /echo,
# but for roost, which has one handler.
command_of() { # server, port, scenario
	local address=127.0.0.1:$2 dash=- on='' handler=chat flags=()
	[[ $3 != *echo ]] || handler='echo'
	if [[ $1 == roost ]]; then
		dash=-- on=' on' flags=(--admin 127.0.0.1:0 --handler "$handler")
		! over_tls "$3" || address=tls:$address
	fi
	! over_tls "$3" || flags+=("$dash"tls-cert "$folder/cert.pem" "$dash"tls-key "$folder/key.pem")
	! compressed "$3" || flags+=("$dash"compress"$on")
	echo "$folder/bin/$1" "$dash"listen "$address" "${flags[@]}"
}

url_of() { # server, port, scenario
	local scheme=ws path=ws
	! over_tls "$3" || scheme=wss
	[[ $1 == roost || $3 != *echo ]] || path='echo'
	echo "$scheme://127.0.0.1:$2/$path"
}

# load_of is the load of a scenario as flags of roost-bench.
load_of() { # server, scenario
	local n flags
	n=$(members_of "$1")
	case $2 in
	broadcast) echo --scenario broadcast --conns "$n" --messages 0 --duration "${seconds}s" ;;
	flood | echo) echo --scenario "$2" --conns "$clients" --duration "${seconds}s" ;;
	churn) echo --scenario churn --conns "$(atMost 100 "$clients")" --duration "${seconds}s" ;;
	*)
		groups_of "$2" "$n" >"$folder/$2-$n.yaml"
		flags=(--scenario "$folder/$2-$n.yaml")
		# What the client saves by not looking at the certificate, the server does not
		# gain: it proves all the same that it has the key.
		! over_tls "$2" || flags+=(--tls-insecure)
		! compressed "$2" || flags+=(--compress)
		echo "${flags[@]}"
		;;
	esac
}

# groups_of describes a scenario that is no preset.
groups_of() { # scenario, members
	local json="{text: true, file: $PWD/scripts/quotes.json}"
	echo "name: $1"
	case $1 in
	# Not the preset: its final pings are more than floor can answer. One message
	# in the end finds out as well whether every connection is alive. Memory is
	# read before it, after the pause.
	idle | tls-idle)
		cat <<-YAML
			settle: ${settle}s
			groups:
			  - {role: listen, conns: $(($2 - 1))}
			  - {role: publish, conns: 1, messages: 1}
		YAML
		;;
	# A member of the room measures how soon its own messages are back while others
	# have to be written to everybody. One connection, since in a room the others
	# would get its messages too; in the middle of them, since some servers write
	# in the order of arrival; at random times, so as not to meet the broadcasts
	# always or never.
	echo-in-room | churn-in-room)
		cat <<-YAML
			settle: 500ms
			warm_up: 500ms
			duration: $((2 * seconds))s
			groups:
			  - {name: room, role: listen, conns: $((clients / 2))}
			  - {name: echo, role: echo, conns: 1, rate: "poisson:20/s"}
			  - {name: others, role: listen, conns: $((clients - clients / 2))}
			  - {role: publish, conns: 1, rate: 10/s}
		YAML
		# A storm of others at the same time, each with a full TLS handshake, over and
		# over. What they come for is more than one machine can do, so the client brings
		# every server about as many as the other.
		[[ $1 == echo-in-room ]] || echo "  - {role: churn, conns: $(atMost 200 "$clients")}"
		;;
	*-broadcast)
		cat <<-YAML
			duration: ${seconds}s
			groups:
			  - {role: listen, conns: $(($2 - 1))}
			  - {role: publish, conns: 1, payload: $json}
		YAML
		;;
	*-echo)
		cat <<-YAML
			duration: ${seconds}s
			groups:
			  - {role: echo, conns: $clients, payload: $json}
		YAML
		;;
	tls-churn)
		cat <<-YAML
			duration: ${seconds}s
			groups:
			  - {role: churn, conns: $(atMost 100 "$clients")}
		YAML
		;;
	esac
}

# time_left extrapolates from the runs done.
time_left() {
	((finished > 0)) || return 0
	local left=$(((SECONDS - started) * (total - finished) / finished))
	printf ', about %d:%02d min left' $((left / 60)) $((left % 60))
}

folder=results/peers-$(date -u +%Y%m%dT%H%M%SZ)
mkdir -p "$folder/bin" # of its own: a build in the meantime must not change what is measured
trap 'rm -rf "$folder/bin"' EXIT
trap 'exit 130' INT TERM # roost-bench has stopped its server by then
echo "building" >&2
scripts/build.sh "$folder/bin" >&2
go build -C bench/peers -o "$PWD/$folder/bin/" ./floor ./gorilla ./coder ./gws ./nbio ./easygo

if [[ $secure ]]; then
	# ECDSA on P-256, for which Go's own tool is there with the compiler.
	(cd "$folder" && go run "$(go env GOROOT)/src/crypto/tls/generate_cert.go" --host 127.0.0.1 --ecdsa-curve P256) >&2
fi

total=$((rounds * ${#scenarios[@]} * ${#servers[@]})) finished=0 started=$SECONDS
for ((round = 1; round <= rounds; round++)); do
	for scenario in "${scenarios[@]}"; do
		for i in "${!servers[@]}"; do
			server=${servers[i]} port=$((8110 + i))
			echo "== $((finished + 1)) of $total$(time_left): round $round, $scenario, $server" >&2
			read -ra load <<<"$(load_of "$server" "$scenario")"
			# floor needs the last two flags. All have them: the client shares the
			# processors, so what it saves on hashes and masks must be the same for
			# every server. None of them unmasks faster with a key of zeros, nor
			# knows the sample key, so it takes nothing off their work.
			"$folder/bin/roost-bench" run --exec "$(command_of "$server" "$port" "$scenario")" \
				--url "$(url_of "$server" "$port" "$scenario")" "${load[@]}" --sample-key --zero-mask \
				--quiet --out "$folder/$server/$scenario-$round.json" >"$folder/last.txt" 2>&1 || {
				grep -E '^(problem|roost-bench:)' "$folder/last.txt" >&2 || cat "$folder/last.txt" >&2
			}
			finished=$((finished + 1))
		done
	done
done
rm "$folder/last.txt"

sides=()
for server in "${servers[@]}"; do
	mkdir -p "$folder/$server" # empty when no run got as far as a recording
	sides+=("$server=$folder/$server")
done
for format in json markdown svg; do
	"$folder/bin/roost-bench" compare --format "$format" -o "$folder/peers.${format/markdown/md}" "${sides[@]}"
done
"$folder/bin/roost-bench" compare --format matrix "${sides[@]}"
echo "kept in $folder: peers.json, peers.md, peers.svg and the recordings"

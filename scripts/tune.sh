#!/usr/bin/env bash
# Sets the kernel's settings that are too small for N connections, as root, until the
# next start of the machine. What they are and have to be is what 'roost doctor' says.
#
#   tune.sh [--dry-run | --print] --conns N
#
# Every change is shown before the first is made. --dry-run makes none. --print writes
# what to keep in /etc/sysctl.d/90-roost.conf for the starts to come, and changes nothing.
# Limits of a process are not the kernel's: LimitNOFILE= in roost.service is one.
# Needs roost: $ROOST, or beside this script's folder in bin/, or in $PATH.
set -euo pipefail

usage() {
	sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
	exit 2
}

dry_run='' print='' conns=''
while (($# > 0)); do
	case $1 in
	--dry-run) dry_run=1 ;;
	--print) print=1 ;;
	--conns)
		conns=${2:-}
		shift
		;;
	*) usage ;;
	esac
	shift || usage
done
[[ $conns =~ ^[1-9][0-9]*$ && ! ($dry_run && $print) ]] || usage

roost=${ROOST:-$(dirname "$0")/../bin/roost}
[[ -x $roost ]] || roost=$(command -v roost) || {
	echo "tune.sh: no roost: build it with scripts/build.sh, or name it in \$ROOST" >&2
	exit 1
}

# Exit code 1 says that something is too small.
settings=$("$roost" doctor --conns "$conns" --sysctl) || (($? == 1))
if [[ $print ]]; then
	printf '%s\n' "$settings"
	exit
fi

now() { tr '\t' ' ' <"/proc/sys/${1//.//}"; }

names=() values=() why=''
while read -r line; do
	if [[ $line == '#'* ]]; then
		why=${line#\# }
	elif [[ $line == *' = '* ]]; then
		name=${line%% = *} value=${line#* = }
		[[ $(now "$name") != "$value" ]] || continue
		names+=("$name") values+=("$value")
		printf '%s: %s -> %s\n    %s\n' "$name" "$(now "$name")" "$value" "$why"
	fi
done <<<"$settings"

if ((${#names[@]} == 0)); then
	echo "nothing to change for $conns connections"
elif [[ $dry_run ]]; then
	echo "nothing was changed: --dry-run"
elif ((EUID != 0)); then
	echo "tune.sh: only root may change them; nothing was changed" >&2
	exit 1
else
	for i in "${!names[@]}"; do
		printf '%s\n' "${values[i]}" >"/proc/sys/${names[i]//.//}"
	done
	echo "changed until the next start; --print has what to keep"
fi

#!/usr/bin/env bash
# Checks what scripts/ has for those who run roost, as far as that goes without Docker
# and Kubernetes: the units with systemd-analyze, the program built as the Dockerfile
# builds it and run alone in an empty root, tune.sh on a network namespace of its own, and
# the shell scripts with shellcheck where there is one. What the files say about
# roost's flags and settings is a matter of `go test ./cmd/roost`.
set -euo pipefail
cd "$(dirname "$0")/.."

exposure=15 # of 100, what 'systemd-analyze security' may find at most

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "== the program, as the Dockerfile builds it"
recipe=$(sed -n 's/^RUN \(CGO_ENABLED=0 go build .*\)/\1/p' scripts/Dockerfile)
mkdir "$work/root"
VERSION=v0.0.0-test COMMIT=0123456789 bash -euxc "${recipe/-o \/roost/-o $work/root/roost}"
alone=("$work/root/roost")
((EUID != 0)) || alone=("$(command -v chroot)" --userspec=65532:65532 "$work/root" /roost) # nothing but the program, as nobody
run() { env -i "${alone[@]}" "$@"; }
run version | tee "$work/version"
grep -qx 'roost v0.0.0-test' "$work/version"
grep -qx 'commit 0123456789' "$work/version"
run config >"$work/config"
grep -q '^listen: ' "$work/config"
if run health --admin 127.0.0.1:1 2>"$work/health"; then
	echo "health says that a server is there where none is" >&2
	exit 1
fi
grep -q 'connection refused' "$work/health"

echo "== the example config"
"$work/root/roost" config --config scripts/roost.yaml >/dev/null

echo "== the units, with $(systemd-analyze --version | head -n 1)"
mkdir "$work/units"
sed "s|^ExecStart=/usr/local/bin/roost|ExecStart=$work/root/roost|" scripts/roost.service >"$work/units/roost.service"
cp scripts/roost.socket "$work/units/"
# As the head of the unit says.
if (($(systemd-analyze --version | sed -n 's/^systemd \([0-9]*\).*/\1/p') < 253)); then
	sed -i "s|^Type=notify-reload|Type=notify\nExecReload=$(command -v kill || echo /bin/kill) -HUP \$MAINPID|" "$work/units/roost.service"
fi
if ! complaints=$(systemd-analyze verify --man=no "$work/units/roost.service" "$work/units/roost.socket" 2>&1) || [[ $complaints ]]; then
	echo "$complaints" >&2
	exit 1
fi
systemd-analyze security --offline=true --threshold="$exposure" --no-pager "$work/units/roost.service" |
	grep -E '^(→|✗)' || { echo "more exposed than $exposure of 100" >&2; exit 1; }

echo "== tune.sh"
ROOST=$work/root/roost scripts/tune.sh --dry-run --conns 1000000
ROOST=$work/root/roost scripts/tune.sh --print --conns 1000000 | grep -q '^net.ipv4.tcp_mem = [0-9]* [0-9]* [0-9]*$'
if ((EUID == 0)) && unshare --net true 2>/dev/null; then
	# A stand-in names one setting that a network namespace has for itself.
	printf '#!/bin/sh\necho "# why"\necho "net.core.somaxconn = 5001"\nexit 1\n' >"$work/doctor"
	chmod +x "$work/doctor"
	export ROOST=$work/doctor
	unshare --net bash -euc '
		before=$(cat /proc/sys/net/core/somaxconn)
		scripts/tune.sh --dry-run --conns 5 | grep -q "somaxconn: $before -> 5001"
		[[ $(cat /proc/sys/net/core/somaxconn) == "$before" ]]
		scripts/tune.sh --conns 5
		[[ $(cat /proc/sys/net/core/somaxconn) == 5001 ]]
		scripts/tune.sh --conns 5 | grep -q "nothing to change"'
fi

echo "== the shell scripts"
for script in scripts/*.sh; do bash -n "$script"; done
"$work/root/roost" completion bash | bash -n
if command -v shellcheck >/dev/null; then
	shellcheck --severity=warning scripts/tune.sh scripts/packaging.sh scripts/build.sh
	"$work/root/roost" completion bash | shellcheck --shell=bash --severity=warning -
fi
echo "all is well"

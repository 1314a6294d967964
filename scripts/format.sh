#!/usr/bin/env bash
# Checks the formatting; with --write it formats, and prints what it changed.
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ ${1:-} == --write ]]; then
	gofmt -l -w .
	exit
fi
unformatted=$(gofmt -l .)
if [[ -n $unformatted ]]; then
	printf 'not formatted; run scripts/format.sh --write:\n%s\n' "$unformatted" >&2
	exit 1
fi
echo "every Go file is formatted"

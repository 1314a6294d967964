#!/usr/bin/env bash
# Builds roost and roost-bench into bin/, or into the folder that is given, and tells
# them the commit, which 'roost version' and every recording name.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=${1:-bin}
# The go command asks git itself, but not in a work tree beside its clone, nor where
# GOFLAGS has -buildvcs=false. The clone may belong to another user.
git() { command git -c safe.directory='*' "$@" 2>/dev/null; }
flags=
if commit=$(git rev-parse HEAD); then
	modified=false
	[[ -z $(git status --porcelain) ]] || modified=true
	for package in main roost/bench; do
		flags+=" -X $package.commit=$commit -X $package.modified=$modified"
	done
fi
mkdir -p "$folder"
go build -ldflags "$flags" -o "$folder/" ./cmd/...
ls -l "$folder"

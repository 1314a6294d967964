#!/usr/bin/env bash
# Runs every test; more arguments go to `go test`, such as -run or -count=1.
set -euo pipefail
cd "$(dirname "$0")/.."

set -x
go test "$@" ./...

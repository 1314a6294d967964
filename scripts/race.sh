#!/usr/bin/env bash
# Runs every test under the race detector, in random order. Needs a C compiler.
set -euo pipefail
cd "$(dirname "$0")/.."

set -x
CGO_ENABLED=1 go test -race -shuffle=on "$@" ./...

#!/usr/bin/env bash
# Checks the servers that roost is compared with: bench/peers, a module of its own.
set -euo pipefail
cd "$(dirname "$0")/../bench/peers"

unformatted=$(gofmt -l .)
[[ -z $unformatted ]] || { echo "gofmt: $unformatted" >&2; exit 1; }
go vet ./...
go mod tidy -diff
go test ./...

# An index of scripts/: every target is one line, and works without make too.
.PHONY: help build test race format lint fuzz simulate packaging density smoke hostile many million bench peers ci
.DEFAULT_GOAL := help

help: ## list the targets
	@sed -nE 's/^([a-z]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 10

build: ## build roost and roost-bench into bin/
	@scripts/build.sh

test: ## run every test
	@scripts/test.sh

race: ## run every test under the race detector
	@scripts/race.sh

format: ## format the code
	@scripts/format.sh --write

lint: ## run golangci-lint, pinned
	@scripts/lint.sh

fuzz: ## fuzz every target with 100,000 inputs
	@scripts/fuzz.sh

simulate: ## run the server in orders of steps that seeds choose
	@scripts/simulate.sh

packaging: ## check the units, the image and the other files for operators
	@scripts/packaging.sh

density: ## measure memory per idle connection against its ceiling
	@scripts/density-gate.sh

smoke: ## run what README.md promises
	@scripts/smoke.sh

hostile: ## attack a server while healthy clients are broadcast to
	@scripts/hostile.sh

many: ## open 100,000 connections at once
	@scripts/many.sh

million: ## hold 1,000,000 connections in one process and account for them
	@scripts/million.sh

bench: ## compare the Go benchmarks with those of the last commit
	@scripts/compare-bench.sh HEAD

peers: ## check the servers that roost is compared with
	@scripts/peers.sh

ci: ## run all that CI runs
	@bash .ci/run

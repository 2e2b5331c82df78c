# make alone builds bin/fibula; make help lists the rest.
SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build
.ONESHELL:

GO       ?= go
BIN      := bin/fibula
PKGS     ?= ./...
FUZZTIME ?= 60s
BENCH    ?= .
BENCH_ENGINES ?= flat,hashzone,trie,bart,bart-fast
BENCHFLAGS ?=
# Debian packages of the kernels that "make test-kernels" boots.
KERNELS  ?= linux-image-cloud-amd64
MUTANT   ?= .
# What "make demo" reads where it may not make a network namespace.
DEMO_STATE ?= $(firstword $(wildcard examples/office-router/state.json* examples/*/state.json*))
# Systems, beside this one, for which everything must build.
CROSS    := freebsd-amd64 darwin-arm64 windows-amd64 linux-arm64

# Go refuses to stamp a binary from a clone that git does not trust or without commits.
export GOFLAGS := $(strip $(GOFLAGS) $(shell git rev-parse -q --verify HEAD >/dev/null 2>&1 || echo -buildvcs=false))

TESTLOG := $(GO) run -C tools ./testlog
TOOL    := $(GO) tool -modfile=tools/go.mod

.PHONY: build demo test lint bench bench-go bench-peers bench-sync benchmarks benchmarks-page lockstep-figures lockstep-page fuzz test-kernels examples docs conformance readme mutants soak soak-sync clean help FORCE
.PHONY: lint-fmt lint-vet lint-staticcheck lint-deps lint-cross lint-docs lint-fuzz race vuln $(CROSS:%=cross-%)

build: $(BIN) ## build bin/fibula

$(BIN): FORCE
	$(GO) build -trimpath -o $@ ./cmd/fibula

demo: $(BIN) ## build, then run the main job: live as root, else on a state file
	@tools/setup.sh ip=iproute2
	ns=fibula-probe-$$$$
	if ip netns add $$ns 2>/dev/null && ip netns del $$ns; then
		exec $(BIN) demo
	fi
	echo "demo: network namespaces need root and iproute2, so there is no kernel to compare with:"
	echo "demo: skipping the live set-up, the million routes and the kernel's answers; reading $(DEMO_STATE) instead."
	exec $(BIN) demo --state "$(DEMO_STATE)"

# tools/mutants reads sources of this module, of which the cache of test results knows nothing.
test: ## run all tests; installs iproute2 if root
	@tools/setup.sh ip=iproute2
	[ "$$(id -u)" = 0 ] || echo "test: not root: tests that ask the kernel are skipped, as listed below"
	$(GO) test -C tools -count=1 ./...
	$(GO) test -count=1 -json $(PKGS) | $(TESTLOG)

# Each part is a target of its own, so that one can be run alone.
lint: lint-fmt lint-vet lint-staticcheck lint-deps lint-cross lint-docs race lint-fuzz ## all checks but the plain tests

lint-fmt:
	@files=$$(gofmt -l .); [ -z "$$files" ] || { echo "gofmt -w would change:"; echo "$$files"; exit 1; } >&2

lint-vet:
	@$(GO) vet $(PKGS)
	$(GO) vet -C tools ./...

lint-staticcheck:
	@$(TOOL) staticcheck $(PKGS)

lint-deps: # the direction of imports
	@$(GO) test -count=1 ./internal/deps

lint-cross: $(CROSS:%=cross-%)

$(CROSS:%=cross-%): cross-%: # vet compiles the tests too
	@export CGO_ENABLED=0 GOOS=$(word 1,$(subst -, ,$*)) GOARCH=$(word 2,$(subst -, ,$*))
	$(GO) build ./...
	$(GO) vet ./...
	$(GO) build -o /dev/null ./cmd/fibula
	echo "builds for $$GOOS/$$GOARCH"

lint-docs: # the pages made from the command and from the tests' notes are those that would be made now
	@$(GO) test -count=1 -run 'TestEveryStatement|TestPage|TestNamedTests' ./internal/conformance
	new=$$(mktemp -d); trap 'rm -rf "$$new"' EXIT
	$(GO) run ./cmd/fibula gendocs "$$new"
	for part in man completion; do
		diff -r "docs/$$part" "$$new/$$part" >&2 || { echo "docs/$$part is stale: run make docs" >&2; exit 1; }
	done

# Without packages that share nothing among goroutines and compute for long.
race: ## run the tests under the race detector
	@tools/setup.sh ip=iproute2 gcc=gcc,libc6-dev
	some=$$($(GO) list $(PKGS) | grep -vE '/(bench/(alternatives|engines)|internal/fulltable|iproute)$$')
	CGO_ENABLED=1 $(GO) test -race -count=1 -json $$some | $(TESTLOG)

lint-fuzz:
	@tools/fuzz.sh 1s $(PKGS)

fuzz: ## run each fuzz target for FUZZTIME (60s)
	@tools/fuzz.sh $(FUZZTIME) $(PKGS)

test-kernels: ## run the tests that ask the kernel on other kernels too, under QEMU (KERNELS=packages)
	@tools/setup.sh qemu-system-x86_64=qemu-system-x86 busybox=busybox-static cpio=cpio ip=iproute2
	tools/kernels/run.sh $(KERNELS)

mutants: ## break the lookup in each way of tools/mutants/mutants.txt: the tests must notice (root; MUTANT=regexp)
	@tools/setup.sh ip=iproute2
	$(GO) run -C tools ./mutants -run '$(MUTANT)'

# What the goals need; BENCHFLAGS= names other engines, runs or reports.
bench: $(BIN) ## measured ratios beside the goals, under ten minutes; root for the kernel's part
	@mkdir -p bench/out
	$(BIN) bench lookup rules update kernel --engines $(BENCH_ENGINES) --streams uniform,matching,zipf \
		--rules none,miss-10,miss-100,miss-1000,miss-10000 --time 100ms --goals bench/out/goals.json $(BENCHFLAGS)

bench-peers: $(BIN) ## the same beside DPDK, which it installs: fills its rows of bench/out/goals.json (root, under ten minutes)
	@tools/setup.sh dpdk-devbind.py=libdpdk-dev,dpdk gcc=gcc,libc6-dev pkg-config=pkg-config
	tools/bench-peers.sh $(BIN) --streams uniform,matching,zipf --goals bench/out/goals.json $(BENCHFLAGS)

bench-sync: $(BIN) ## a kernel mirrored and exported to, beside raw netlink, BIRD and zebra, which it gets (root, under 15 minutes)
	@tools/setup.sh ip=iproute2
	mkdir -p bench/out
	tools/bench-sync.sh $(BIN) --runs 3 --goals bench/out/sync-goals.json $(BENCHFLAGS)

# Half an hour, and nothing else on the machine.
benchmarks: $(BIN) ## measure everything anew for docs/benchmarks.md and its plots (root, a quiet machine)
	@tools/setup.sh ip=iproute2 dpdk-devbind.py=libdpdk-dev,dpdk gcc=gcc,libc6-dev pkg-config=pkg-config
	mkdir -p bench/out docs/benchmarks
	$(BIN) bench lookup rules update kernel size --goals bench/out/goals.json --report bench/out/report $(BENCHFLAGS) >/dev/null
	tools/bench-peers.sh $(BIN) --streams uniform,matching,zipf --goals bench/out/goals.json --report bench/out/peers $(BENCHFLAGS) >/dev/null
	cp bench/out/goals.json bench/out/report/results.json bench/out/report/*.svg bench/out/peers/peers-*.svg docs/benchmarks/
	$(MAKE) benchmarks-page

benchmarks-page: ## docs/benchmarks.md from the figures in docs/benchmarks and the notes in bench/page
	$(GO) run ./bench/page benchmarks docs/benchmarks docs/benchmarks/goals.json bench/page/notes.md >docs/benchmarks.md

lockstep-figures: $(BIN) ## measure everything anew for docs/lockstep-figures.md (root, a quiet machine)
	@tools/setup.sh ip=iproute2
	mkdir -p bench/out docs/lockstep
	tools/bench-sync.sh $(BIN) --runs 3 -j -p --goals bench/out/sync-goals.json $(BENCHFLAGS) >bench/out/sync.json
	cp bench/out/sync-goals.json docs/lockstep/
	cp bench/out/sync.json docs/lockstep/results.json
	$(MAKE) lockstep-page

lockstep-page: ## docs/lockstep-figures.md from the figures in docs/lockstep and the notes in bench/page
	$(GO) run ./bench/page lockstep docs/lockstep docs/lockstep/sync-goals.json bench/page/lockstep-notes.md >docs/lockstep-figures.md

bench-go: ## the benchmarks of Go's tests: engines, loads, answers (BENCH=regexp)
	@tools/setup.sh ip=iproute2
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -timeout 60m $(PKGS) | grep -v -e '^ok ' -e 'no test files' -e '^PASS'

# The seed is fixed, so that the page changes only with what is tested.
soak: ## a million flows over 2,500 configurations beside the kernel; result in docs/conformance (root)
	@tools/setup.sh ip=iproute2
	mkdir -p docs/conformance
	export TEST_SEED=$${TEST_SEED:-6180000} DIFF_CONFIGS=$${DIFF_CONFIGS:-2500} DIFF_FLOWS=$${DIFF_FLOWS:-440}
	SOAK_JSON=$(CURDIR)/docs/conformance/soak.json $(GO) test -count=1 -timeout 60m -v -run '^TestKernelDifferential$$' ./ksync \
		| grep -vE '^ *(===|--- PASS)|this kernel lacks'
	$(GO) run ./internal/conformance/update

soak-sync: ## random namespaces, changed at full speed and mirrored: thousands, and one for an hour (root; SYNC_SEEDS=3000, SOAK=1h)
	@tools/setup.sh ip=iproute2
	mkdir -p docs/lockstep
	export MIRROR_SEEDS=$${SYNC_SEEDS:-3000} SOAK=$${SOAK:-1h} SOAK_JSON=$(CURDIR)/docs/lockstep/soak.json
	$(GO) test -count=1 -timeout 240m -v -run '^(TestMirrorModel|TestSoak)$$' ./ksync | grep -vE '^ *(===|--- PASS)'
	$(MAKE) lockstep-page

examples: $(BIN) ## rebuild examples/ from live namespaces (root)
	@tools/setup.sh ip=iproute2
	examples/build.sh

docs: ## rebuild docs/man and docs/completion from the command
	@rm -rf docs/man docs/completion
	$(GO) run ./cmd/fibula gendocs docs

readme: $(BIN) ## run the demo anew for the README's figures (root, a quiet machine)
	@tools/readme-demo.sh $(BIN)

conformance: ## run all tests and note in docs/conformance.md which statements they prove (root)
	@tools/setup.sh ip=iproute2
	notes=$$(mktemp); trap 'rm -f "$$notes"' EXIT
	CONFORMANCE_OUT=$$notes $(GO) test -count=1 -json ./... | $(TESTLOG)
	shopt -s nullglob
	$(GO) run ./internal/conformance/update "$$notes" bin/kernels/*/conformance.jsonl

vuln: ## report known vulnerabilities (asks the public database)
	@$(TOOL) govulncheck $(PKGS)

clean: ## remove what make built
	@rm -rf bin

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

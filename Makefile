# One target a job; `make help` lists them. Nothing here needs root but what is named system.

GO       ?= go
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS  := -s -w -X main.version=$(VERSION)
TARGETS  := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
RACE     := ./keys ./signed ./chain ./seal ./roster ./wire ./gather ./delivery ./sqlite ./peer ./broker
FUZZED    = $(shell grep -rl '^func Fuzz' --include='*_test.go' . | xargs -n 1 dirname | sort -u)
FUZZTIME ?= 10s
# `make vet` does that, once.
NOVET    := -vet=off
# As what is shipped: static. What the tests compile and the binary that they start are
# then compiled once. Only the race detector wants cgo.
export CGO_ENABLED = 0
# SQLite's C, translated, is not ours to check, and takes more than half of a race run's time.
NORACE   := -gcflags=modernc.org/sqlite/lib=-race=false -gcflags=modernc.org/libc/...=-race=false

.PHONY: help build compiled npm test test-system race vet fuzz kills cross cross-all torture torture-system bench vectors clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "%-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build the binary into bin/
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/claudemesh ./cmd/claudemesh

test: npm compiled ## pass all tests that need no root; installs what they need
	$(GO) test $(NOVET) -timeout 20m ./...

# Once: tests that call the compiler start while others are compiled, and .ci/run makes
# several of these targets side by side.
compiled:
	$(GO) build ./...

npm: vectors/generate/node_modules e2e/npm/node_modules e2e/jspeer/node_modules

%/node_modules: %/package-lock.json
	npm ci --prefix $* --no-audit --no-fund --silent
	@touch $@

test-system: npm compiled ## tests with root: network namespaces, strace, a full disk, the real client (Debian's packages)
	./e2e/system-packages
	$(GO) test $(NOVET) -tags system -count=1 -timeout 20m ./e2e \
	  -skip "^($$($(GO) test $(NOVET) -list '^Test' ./e2e | grep '^Test' | paste -sd'|' -))$$" # those are in make test

vet: compiled ## go vet, staticcheck, gofmt
	$(GO) vet -tags system ./... # with the tag there is more to look at, and nothing less
	$(GO) tool staticcheck -tags system ./...
	@files="$$(gofmt -l $$(git ls-files '*.go'))"; test -z "$$files" || { echo "gofmt these: $$files"; exit 1; }

race: export CGO_ENABLED = 1
race: ## the packages with concurrency or cryptography, under the race detector
	$(GO) test $(NOVET) -timeout 20m -race $(NORACE) $(RACE)

fuzz: ## each fuzz target for FUZZTIME (10s), of four packages at a time
	@for p in $(FUZZED); do $(GO) test $(NOVET) -c -fuzz . -o /dev/null $$p; done # once what they share
	@printf '%s\n' $(FUZZED) | GO=$(GO) xargs -P 4 -I PACKAGE .ci/fuzz PACKAGE $(FUZZTIME)

kills: compiled ## kill the real broker, a sender and a recipient 20 times under load
	$(GO) test $(NOVET) -count=1 -run 'TestBrokerKilledUnderLoad|TestEndsKilledUnderLoad' -timeout 20m ./e2e -kills 20

cross: ## two foreign targets, static
	@$(MAKE) --no-print-directory cross-all TARGETS='darwin/arm64 windows/amd64'

cross-all: ## all six targets, static, into dist/
	@set -e; for t in $(TARGETS); do os=$${t%/*}; arch=$${t#*/}; ext=; [ $$os = windows ] && ext=.exe; \
	  echo "build $$t"; \
	  GOOS=$$os GOARCH=$$arch $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o dist/claudemesh-$$os-$$arch$$ext ./cmd/claudemesh; \
	done

torture: npm cross-all ## the long forms: 1,000,000 schedules of the state machines (eleven minutes of processor time), 10,000 with the real peers and broker (an hour and a half), 10,000 half-open handshakes, 200 kills of each end, 500 runs of mangled frames, long fuzz, all targets (hours)
	$(GO) test -count=1 -timeout 2h ./delivery -run TestSchedules -schedules 1000000
	$(GO) test -count=1 -timeout 4h ./peer -run TestSimulation -schedules 10000
	$(GO) test -count=1 -timeout 2h ./roster -run TestAdversary -schedules 100000
	$(GO) test -count=1 ./broker -run TestHandshakeUnderAttack -half-open 10000
	$(GO) test -count=1 -run 'TestBrokerKilledUnderLoad|TestEndsKilledUnderLoad' -timeout 4h ./e2e -kills 200
	$(GO) test -count=1 -timeout 2h ./peer -run TestMangledFrames -manglings 500
	$(MAKE) fuzz FUZZTIME=5m

torture-system: npm ## the long forms that need root: 1,000 power cuts of each program
	$(GO) test -tags system -count=1 -timeout 2h ./e2e -run TestPowerCut -power-cuts 1000

bench: ## sealed and acknowledged messages beside a bare relay, as ratios of one run
	$(GO) run ./bench

vectors: npm ## make the golden vectors anew with libsodium
	node vectors/generate/generate.mjs

clean: ## remove what was built
	rm -rf bin dist

# p2prc: `make help` lists what there is.
SWIFT ?= swift
PREFIX ?= /usr/local
BINARY = .build/release/p2prc
# Swift's own libraries inside, where the toolchain has them so: one file that runs where no Swift is, and 4 MiB less of
# resident memory.
SWIFT_BIN := $(dir $(realpath $(shell command -v $(SWIFT))))
# What --version says of the commit; nothing in a folder that no repository is in, such as a tarball's.
export P2PRC_COMMIT ?= $(if $(wildcard .git),$(shell git describe --always --dirty --abbrev=12 --exclude='*' 2>/dev/null))
RELEASE = $(SWIFT) build -c release $(if $(wildcard $(SWIFT_BIN)../lib/swift_static/linux/libFoundation.a),--static-swift-stdlib)

.PHONY: print-commit help demo build test test-unit test-process test-laboratory test-long test-sanitizers fuzz bench bench-quick bench-check bench-accept man install uninstall format lint lint-c clean setup

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

setup:
	@scripts/setup

demo: setup ## Build, then expose a small service through a relay on this machine
	@scripts/quietly "building, about 8 minutes the first time" $(RELEASE) --product p2prc
	@scripts/demo $(BINARY)

build: setup ## Build in release mode
	$(RELEASE) --product p2prc

print-commit:
	@echo "$$P2PRC_COMMIT"

test: ## Run every test that fits in about 40 minutes
	@scripts/setup test
	$(RELEASE) --product p2prc
	$(SWIFT) build --build-tests
	@$(MAKE) --no-print-directory lint lint-c test-unit test-process test-laboratory bench-check

# Of a crash the last lines say where it was, not which libraries there were.
test-unit: export SWIFT_BACKTRACE ?= enable=yes,color=no,interactive=no,images=none,registers=none
test-unit: ## The tests that need neither processes nor root
	scripts/tests $(SWIFT) test --skip-build --skip ProcessTests --skip LaboratoryTests --skip 'Peer(API|Probing|Services)Tests'
	@# By themselves: a server and a client with limits of seconds, on threads that a simulation would keep.
	scripts/tests $(SWIFT) test --skip-build --filter 'PeerAPITests|PeerProbingTests'
	@# One by one: they own the time, which must not run ahead of the disk's threads.
	scripts/tests $(SWIFT) test --skip-build --no-parallel --filter PeerServicesTests

test-process: ## The built program on loopback
	P2PRC_BINARY=$(abspath $(BINARY)) scripts/tests $(SWIFT) test --skip-build --no-parallel --filter ProcessTests

test-laboratory: ## The built program behind real NATs, in network namespaces (needs root; skipped without)
	@[ "$$(id -u)" = 0 ] || echo "The NAT laboratory needs root and is skipped; run it with: sudo make test-laboratory"
	P2PRC_BINARY=$(abspath $(BINARY)) scripts/laboratory "$$($(SWIFT) build --show-bin-path)/p2prcPackageTests.xctest"

# There are no tests of XCTest, and its runner leaks. The tests with limits of seconds run by themselves, as above.
SANITIZED = --disable-xctest --filter 'Peer(Wire|Core|Ratchet|Reactor|DataPlane|Storage|TOML)Tests'
SANITIZED_ALONE = --skip-build --disable-xctest --no-parallel --filter 'Peer(Probing|Services)Tests'
ADDRESS = LSAN_OPTIONS=suppressions=$(CURDIR)/Tests/Support/sanitizers/leaks.txt:print_suppressions=0 \
	P2PRC_SANITIZER=address $(SWIFT) test --sanitize=address --scratch-path .build-asan
THREAD = TSAN_OPTIONS=suppressions=$(CURDIR)/Tests/Support/sanitizers/races.txt \
	P2PRC_SANITIZER=thread $(SWIFT) test --sanitize=thread --scratch-path .build-tsan

test-sanitizers: ## The tests without processes, under the address, undefined-behaviour and thread sanitizers
	$(ADDRESS) $(SANITIZED)
	$(ADDRESS) $(SANITIZED_ALONE)
	$(THREAD) $(SANITIZED)
	$(THREAD) $(SANITIZED_ALONE)

FUZZ_SECONDS ?= 60

fuzz: ## Fuzz every parser for FUZZ_SECONDS, two at a time
	@scripts/fuzz $(FUZZ_SECONDS)

test-long: ## Full counts, soaks, fuzzing, repetitions, sanitizers: several hours
	@scripts/setup test
	$(RELEASE) --product p2prc
	$(SWIFT) build --build-tests
	P2PRC_LONG=1 $(MAKE) --no-print-directory test-unit test-process test-laboratory
	@$(MAKE) --no-print-directory test-sanitizers
	@$(MAKE) --no-print-directory fuzz FUZZ_SECONDS=600

BENCH ?=

bench: ## Measure p2prc beside its peers, about 80 minutes, 40 without root; BENCH='--rows ping-1 …' (Benchmarks/bench --help)
	@scripts/setup bench
	$(RELEASE) --product p2prc
	$(RELEASE) --product labtool
	@Benchmarks/bench $(BENCH)

bench-quick: ## The same in about 3 minutes, coarser
	@$(MAKE) --no-print-directory bench BENCH='--quick $(BENCH)'

bench-check: ## Count the instructions of the hot path and compare them with the committed ones
	@scripts/setup test
	$(RELEASE) --product microbench
	@Benchmarks/instructions

bench-accept: ## Write the instructions of the hot path down as they are now
	@scripts/setup test
	$(RELEASE) --product microbench
	@Benchmarks/instructions --update

man: build ## Write docs/man/p2prc.1 from what the program says of itself
	scripts/manual $(BINARY) > docs/man/p2prc.1.new
	mv docs/man/p2prc.1.new docs/man/p2prc.1

SHARE = $(DESTDIR)$(PREFIX)/share
COMPLETIONS = $(SHARE)/bash-completion/completions/p2prc $(SHARE)/zsh/site-functions/_p2prc \
	$(SHARE)/fish/vendor_completions.d/p2prc.fish

install: build ## Install the program, its manual page and completions: make install PREFIX=/usr/local
	install -D -m 0755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/p2prc
	install -D -m 0644 docs/man/p2prc.1 $(SHARE)/man/man1/p2prc.1
	@set -e; set -- $(COMPLETIONS); for shell in bash zsh fish; do \
		mkdir -p "$$(dirname "$$1")"; $(BINARY) completion $$shell > "$$1"; chmod 0644 "$$1"; shift; done

uninstall: ## Remove what install put there; homes (~/.p2prc) stay
	rm -f $(DESTDIR)$(PREFIX)/bin/p2prc $(SHARE)/man/man1/p2prc.1 $(COMPLETIONS)

format: ## Format the sources
	$(SWIFT) format format --in-place --recursive --parallel Sources Tests Package.swift

lint: ## Check the format of the sources
	$(SWIFT) format lint --strict --recursive --parallel Sources Tests Package.swift

C_MODULES = CCurl CDatagrams CLinux COpenSSL CRecords
CXX_MODULES = CTOML
C_WARNINGS = -Wall -Wextra -Wconversion -Wsign-conversion -Wvla -Werror

lint-c: ## Compile the C and C++ modules with gcc's analyzer (C alone) and all warnings that matter, and keep nothing
	@for file in $(wildcard $(C_MODULES:%=Sources/%/*.c)); do \
		gcc -std=gnu17 -O2 -fanalyzer $(C_WARNINGS) $(C_MODULES:%=-ISources/%/include) -c -o /dev/null "$$file" || exit 1; \
	done
	@for file in $(wildcard $(CXX_MODULES:%=Sources/%/*.cpp)); do \
		g++ -std=c++17 -O2 $(C_WARNINGS) $(CXX_MODULES:%=-ISources/%/include) -c -o /dev/null "$$file" || exit 1; \
	done

clean: ## Remove what was built
	rm -rf .build

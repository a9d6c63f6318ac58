# p2prc: `make help` lists what there is.
SWIFT ?= swift
PREFIX ?= /usr/local
BINARY = .build/release/p2prc

.PHONY: help demo build test test-unit test-process test-laboratory test-long test-sanitizers man install format lint clean setup

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

setup:
	@scripts/setup

demo: setup ## Build, then expose a small service through a relay on this machine
	@$(SWIFT) build -c release --product p2prc
	@scripts/demo $(BINARY)

build: setup ## Build in release mode
	$(SWIFT) build -c release --product p2prc

test: ## Run every test that fits in about 25 minutes
	@scripts/setup test
	$(SWIFT) build -c release --product p2prc
	$(SWIFT) build --build-tests
	@$(MAKE) --no-print-directory test-unit test-process test-laboratory

test-unit: ## The tests that need neither processes nor root
	$(SWIFT) test --skip-build --skip ProcessTests --skip LaboratoryTests

test-process: ## The built program on loopback
	P2PRC_BINARY=$(abspath $(BINARY)) $(SWIFT) test --skip-build --no-parallel --filter ProcessTests

test-laboratory: ## The built program behind real NATs, in network namespaces (needs root; skipped without)
	@[ "$$(id -u)" = 0 ] || echo "The NAT laboratory needs root and is skipped; run it with: sudo make test-laboratory"
	P2PRC_BINARY=$(abspath $(BINARY)) $(SWIFT) test --skip-build --no-parallel --filter LaboratoryTests

test-sanitizers: ## The tests without processes, under the address and the thread sanitizer
	$(SWIFT) test --sanitize=address --scratch-path .build-asan --filter 'Peer(Wire|Mesh|Reactor|Storage)Tests'
	$(SWIFT) test --sanitize=thread --scratch-path .build-tsan --filter 'Peer(Wire|Mesh|Reactor|Storage)Tests'

test-long: ## Full counts, soaks, fuzzing, repetitions, sanitizers: an hour or more
	@scripts/setup test
	$(SWIFT) build -c release --product p2prc
	$(SWIFT) build --build-tests
	P2PRC_LONG=1 $(MAKE) --no-print-directory test-unit test-process test-laboratory
	@$(MAKE) --no-print-directory test-sanitizers

man: build ## Write docs/man/p2prc.1 from what the program says of itself
	scripts/manual $(BINARY) > docs/man/p2prc.1.new
	mv docs/man/p2prc.1.new docs/man/p2prc.1

install: build ## Install the program and its manual page: make install PREFIX=/usr/local
	install -D -m 0755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/p2prc
	install -D -m 0644 docs/man/p2prc.1 $(DESTDIR)$(PREFIX)/share/man/man1/p2prc.1

format: ## Format the sources
	$(SWIFT) format format --in-place --recursive --parallel Sources Tests Package.swift

lint: ## Check the format of the sources
	$(SWIFT) format lint --recursive --parallel Sources Tests Package.swift

clean: ## Remove what was built
	rm -rf .build

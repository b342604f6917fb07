# The commands of the house. Each installs what it lacks; all of them can be repeated.

CARGO ?= cargo
DATA ?= /var/lib/adaptable
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
BIN := target/release/adaptable
# Tests make containers, so they run as root; what they are built from stays the user's.
RUNNER := $(if $(SUDO),--config 'target."cfg(unix)".runner="sudo -E"',)

.PHONY: up down test fuzz bench check screenshots build setup stacks

## up: build, start a platform in the background, deploy the guide's Flask app, show its first answers
up: setup build
	$(SUDO) $(BIN) up examples/flask --data-dir $(DATA)

## down: stop the platform that `up` started; apps and data stay
down:
	@if [ -x $(BIN) ]; then $(SUDO) $(BIN) down --data-dir $(DATA); else echo "nothing is built, so nothing runs"; fi

## test: everything, with real containers
test: setup
	$(CARGO) build --workspace
	$(SUDO) target/debug/adaptable stack
	$(CARGO) test --workspace --no-fail-fast $(RUNNER)

## fuzz: every parser that reads what strangers write, some seconds each (SECONDS=60 for longer)
fuzz: setup
	scripts/fuzz.sh $(or $(SECONDS),10)

## bench: the figures that we promise, as ratios from interleaved runs
bench: setup build
	scripts/bench.sh

## check: what a reviewer would look at: format, lints, arrows between crates, dependencies
check: setup
	$(CARGO) fmt --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	scripts/arrows.sh
	scripts/deny.sh

## screenshots: every page into docs/screenshots, looked over on the way
screenshots: setup
	scripts/screenshots.sh $(CARGO) test -p adaptable --test browser $(RUNNER) --

build:
	$(CARGO) build --release --bin adaptable

setup:
	@scripts/setup.sh

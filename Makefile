# What a developer or CI runs. Everything happens in .venv; `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
DEMO_STAMP := $(VENV)/.set-up-demo
PYTEST := $(BIN)/pytest -q
# How many test files run at once; 0 is one test after the other. A file stays with one worker, with its fixtures.
JOBS ?= 3
PARALLEL := -n $(JOBS) --dist loadfile

# For every Linux, not only the machine on which this runs; versions that have wheels (tailer never had one, and needs no
# compiler); no index is named.
UV := uv>=0.5
LOCK := --universal --python-version 3.11 --generate-hashes --only-binary :all: --no-binary tailer \
	--no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"
# What builds Fieldgate itself (pyproject.toml), and tailer.
BUILDERS := hatchling setuptools

.PHONY: help setup check format test test-whole test-faults test-long test-root test-deploy interop bench demo deb lock wheels clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP) ## make .venv and, as root, install mosquitto for the tests

$(STAMP): pyproject.toml tests/setup.sh tests/interop/package-lock.json
	@PYTHON=$(PYTHON) bash tests/setup.sh $(VENV)
	@touch $@ $(DEMO_STAMP)

$(DEMO_STAMP): pyproject.toml tests/setup.sh
	@PYTHON=$(PYTHON) bash tests/setup.sh $(VENV) demo
	@touch $@

check: $(STAMP) ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(STAMP) ## let ruff format and mend what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: $(STAMP) ## the tests, without those that have a target of their own
	$(PYTEST) $(PARALLEL) -m "not long and not root and not interop and not calibration" --ignore tests/faults --ignore tests/whole --ignore tests/deploy

test-whole: $(STAMP) ## whole gateways and what a user types: the README word for word, every command, restarts
	$(PYTEST) $(PARALLEL) -m "not long and not root and not interop and not calibration" tests/whole

test-faults: $(STAMP) ## what it must survive: kills, full disks, storms, clocks that jump
	$(PYTEST) $(PARALLEL) -m "not long and not root" tests/faults

test-long: $(STAMP) ## the full counts, other cases by chance each time; those that need root skip themselves without
	@PYTHONPATH=tests $(BIN)/python -m interop_kit.npm tests/interop/node-red || echo "test-long: Node-RED's test will skip"
	$(PYTEST) -m "long or hypothesis" --hypothesis-profile explore --timeout 3600

test-root: $(STAMP) ## the tests that need root: power cuts, full disks, namespaces
	@if [ "$$(id -u)" -ne 0 ]; then \
		echo "test-root: skipped, because it mounts file systems and makes network namespaces and you are not root"; \
	else \
		$(PYTEST) -m "root and not long" --timeout 600 || [ $$? -eq 5 ]; \
	fi

test-deploy: $(STAMP) ## install on a Debian with a booted systemd and see that it keeps its promises there; as root
	@if [ "$$(id -u)" -ne 0 ]; then \
		echo "test-deploy: skipped, because it boots machines (systemd-nspawn) and you are not root"; \
	else \
		$(PYTEST) -m deploy tests/deploy --timeout 900; \
	fi

interop: $(STAMP) ## the table of clients and brokers, ours beside mosquitto's
	$(PYTEST) $(PARALLEL) -m "(interop or calibration) and not long" tests/interop tests/conformance

bench: $(STAMP) ## Fieldgate and a mosquitto bridge, interleaved (takes minutes)
	$(BIN)/python tests/bench/run.py $(ARGS)

demo: $(DEMO_STAMP) ## broker, gateway and 50 devices; the link is cut, nothing is lost
	@$(BIN)/fieldgate demo $(ARGS)

deb: ## the Debian package, into dist: for this Debian and processor, or ARGS="--debian 13 --arch arm64"
	@PYTHON=$(PYTHON) bash deploy/debian/build.sh $(ARGS)

lock: $(STAMP) ## pin what Fieldgate needs and what builds it, with hashes: deploy/*requirements.txt (needs the package index)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input '$(UV)'
	$(BIN)/uv pip compile --quiet pyproject.toml --output-file deploy/requirements.txt $(LOCK)
	printf '%s\n' $(BUILDERS) | $(BIN)/uv pip compile --quiet - --output-file deploy/build-requirements.txt $(LOCK)

wheels: $(STAMP) ## whether each of them has a wheel for x86_64 and aarch64, and which have none for armv7; pip with hashes
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input '$(UV)' \
		|| echo "wheels: uv cannot be had, the tests will skip"
	$(PYTEST) -m long tests/gateway/lock --timeout 600

clean: ## remove .venv and all caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage htmlcov
	rm -rf tests/interop/node_modules tests/interop/node-red/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

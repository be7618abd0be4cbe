# The whole developer interface: setup, demo, check, test.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint lock.txt
DEMO_PORT ?= 8050

.PHONY: help setup demo check test equality faults system clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

# lock.txt is used as pip's constraints: exactly the asked part is installed, at exactly the locked versions.
$(VENV)/base: lock.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) setuptools
	@touch $@

$(VENV)/demo: $(VENV)/base pyproject.toml lock.txt
	$(PIP) --no-build-isolation --editable '.[demo]'
	@touch $@

$(VENV)/dev: $(VENV)/base pyproject.toml lock.txt
	$(PIP) --no-build-isolation --editable '.[dev]'
	@touch $@ $(VENV)/demo

setup: $(VENV)/dev ## make .venv with everything, training and checks included

demo: $(VENV)/demo ## run the whole loop on a virtual plant (no torch installed)
	$(BIN)/plantwin demo --port $(DEMO_PORT)

check: $(VENV)/dev ## lint, types, imports
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Five parts, two at a time on two cores; at three, services that tests start answered too late now and then. They begin
# in the order of the list (`warm` is no target of its own: make would begin with what needs it last), the longest that
# waits most first, and each is printed whole when it ends. With PYTEST='...' one run of what that names, as it goes.
# Services want the kernel compiled, because a test that starts one waits only as long as it takes with a warm cache;
# meanwhile the oracles are tested, which need no kernel, so that it is not compiled in two parts at once.
AGENTS := tests/oracles tests/agents tests/benchmarks
WIRE := tests/hardware tests/ingest
SIM := tests/sim
TWIN := tests/theory tests/twin
ELSEWHERE := $(AGENTS) $(WIRE) $(SIM) $(TWIN)
# of each part, so that every run tells where its time goes
SLOWEST := --durations=12 --durations-min=2
PARTS := test-agents test-wire test-sim test-services test-twin
ifeq ($(strip $(PYTEST)),)
test: $(VENV)/dev system ## all tests
	@echo "five parts, two at a time, a quarter of an hour or more on two cores; each is shown when it ends"
	@$(MAKE) --no-print-directory --jobs=2 --keep-going --output-sync=target $(PARTS)
else
test: $(VENV)/dev system
	$(BIN)/python -m pytest $(PYTEST)
endif

.PHONY: $(PARTS)
test-agents:
	$(BIN)/python -m pytest $(SLOWEST) $(AGENTS)

test-wire:
	@$(BIN)/python -m tests.warm
	$(BIN)/python -m pytest $(SLOWEST) $(WIRE)

test-sim:
	$(BIN)/python -m pytest $(SLOWEST) $(SIM)

test-services:
	@$(BIN)/python -m tests.warm
	$(BIN)/python -m pytest $(SLOWEST) tests $(ELSEWHERE:%=--ignore=%)

test-twin:
	$(BIN)/python -m pytest $(SLOWEST) $(TWIN)

# A thousand random plants in every engine (kernel, pure Python, CUDA simulator) against the SimPy reference: about an
# hour on two cores. ENGINES, SEEDS and UNTIL choose less; an interrupted run says with which SEEDS it goes on.
ENGINES ?= kernel python cuda
SEEDS ?= 0:1000
UNTIL ?= 400
equality: $(VENV)/dev ## compare every engine on a thousand random plants
	@for engine in $(ENGINES); do \
		$(BIN)/python -m tests.sim.equality --engine $$engine --seeds $(SEEDS) --until $(UNTIL) || exit $$?; \
	done

# A million readings of known content through the real processes while these are killed and cut off: under ten minutes.
READINGS ?= 1000000
KILLS ?= 25
faults: $(VENV)/dev ## a line under fire: nothing lost, nothing twice
	@$(BIN)/python -m tests.faults --readings $(READINGS) --kills $(KILLS)

# Programs of the system that some tests want. Without them those tests are skipped and say so.
system:
	@sh tests/system.sh

clean: ## remove what the targets made
	rm -rf $(VENV) build plantwin.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

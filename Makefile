# The whole developer interface: setup, demo, check, test.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint lock.txt
DEMO_PORT ?= 8050

.PHONY: help setup demo check test equality system clean

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

test: $(VENV)/dev system ## all tests
	$(BIN)/python -m pytest $(PYTEST)

# A thousand random plants in every engine (kernel, pure Python, CUDA simulator) against the SimPy reference: about an
# hour on two cores. ENGINES, SEEDS and UNTIL choose less; an interrupted run says with which SEEDS it goes on.
ENGINES ?= kernel python cuda
SEEDS ?= 0:1000
UNTIL ?= 400
equality: $(VENV)/dev ## compare every engine on a thousand random plants
	@for engine in $(ENGINES); do \
		$(BIN)/python -m tests.sim.equality --engine $$engine --seeds $(SEEDS) --until $(UNTIL) || exit $$?; \
	done

# Programs of the system that some tests want. Without them those tests are skipped and say so.
system:
	@sh tests/system.sh

clean: ## remove what the targets made
	rm -rf $(VENV) build plantwin.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

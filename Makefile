# SPDX-License-Identifier: Apache-2.0
# One door for chores. Paths are relative, so that a folder with spaces in its name works too.
# PYTHON=... chooses the interpreter, DATA=... the folder of source tables for `make figures`.

VENV := .venv
PY := $(VENV)/bin/python
CONSTRAINTS := tests/constraints.txt
PIP := PIP_CONSTRAINT=$(CONSTRAINTS) PIP_BUILD_CONSTRAINT=$(CONSTRAINTS) $(PY) -m pip --disable-pip-version-check --no-input -qq
DATA ?= ../shared/data

.DEFAULT_GOAL := help
.PHONY: help demo test test-offline check format docs bench bars figures gpu-check changelog clean
.DELETE_ON_ERROR:

help:  ## what can be done here
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

# --- environment: each stamp is as new as what it was made from ---------------------------------

$(VENV)/.made: scripts/make-venv
	@sh scripts/make-venv $(VENV)
	@touch $@

$(VENV)/.demo: $(VENV)/.made pyproject.toml $(CONSTRAINTS)
	@echo "installing submeter and scikit-learn into $(VENV)"
	@$(PIP) install -e '.[demo]'
	@touch $@

$(VENV)/.test: $(VENV)/.made pyproject.toml $(CONSTRAINTS)
	@echo "installing submeter and its test tools into $(VENV)"
	@$(PIP) install --upgrade pip
	@$(PIP) install -e . --group test
	@touch $@

# --- the two commands -----------------------------------------------------------------------------

demo: $(VENV)/.demo  ## train on handwritten digits under the meter and see what it used
	@echo
	@echo '$$ submeter run --name digits -- python examples/digits.py'
	@SUBMETER_HOME="$$PWD/.submeter" PATH="$$PWD/$(VENV)/bin:$$PATH" \
		submeter run --name digits -- python examples/digits.py
	@echo
	@echo "The run is kept in .submeter inside this folder. To look around:"
	@echo '  export SUBMETER_HOME="$$PWD/.submeter" PATH="$$PWD/$(VENV)/bin:$$PATH"'
	@echo "  submeter show digits      submeter list      submeter doctor"

test: check  ## everything: style, types, architecture, then the whole test suite
	@sh scripts/check-postgres
	$(PY) -m pytest

test-offline: $(VENV)/.test  ## tests of carbon, water and money in a network namespace of their own
	$(PY) -m benchmarks.offline

check: $(VENV)/.test  ## style, spelling, types, architecture, dependencies
	@sh scripts/check-compiler
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/codespell src docs examples benchmarks scripts changelog.d README.md CONTRIBUTING.md CHANGELOG.md Makefile
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/deptry src

# --- chores -----------------------------------------------------------------------------------------

format: $(VENV)/.test  ## let ruff put the code in order
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

docs: $(VENV)/.test  ## check links, spelling, figures and worked examples of the documentation
	$(PY) -m pytest -q -p no:randomly tests/test_documents.py tests/test_examples.py

bench: $(VENV)/.test  ## what reading, marking, storing and settling cost
	$(PY) -m pytest benchmarks --benchmark-enable --benchmark-only -q
	$(PY) -m benchmarks.overhead

bars: $(VENV)/.test  ## each bar this version has to clear, with its figure
	@$(PY) -m benchmarks.bars --data "$(DATA)"

figures: $(VENV)/.test  ## make the tables and pictures of the documentation anew
	@$(PY) -m benchmarks.figures --data "$(DATA)"

gpu-check:  ## five minutes of training on an NVIDIA board, written to docs/measured/
	@sh scripts/gpu-check

changelog: $(VENV)/.test  ## what the next release would say
	$(VENV)/bin/towncrier build --draft --version next

clean:  ## remove what was built here; the demo's runs in .submeter stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .benchmarks .cache

# Bare `make` prints the targets. Each installs what it needs into $(VENV), once; nothing is asked.

PYTHON ?= python3
VENV ?= .venv

BIN := $(VENV)/bin
USED := $(VENV)/.installed-to-run
DEVELOPED := $(VENV)/.installed-to-develop
TESTERS ?= 4 # processes that run tests side by side; most of a test is waiting
# Tests of the project's own texts: in seconds they say what would else be known a quarter of an hour later.
TEXTS := $(addprefix tests/,test_rooms.py test_contributing.py test_face.py test_lazy.py faults/test_controls.py \
  faults/test_catalogue.py)
ALONE = $(shell grep --recursive --files-with-matches --include='test_*.py' mark.alone tests)
THOROUGH = $(shell grep --recursive --files-with-matches --include='test_*.py' 'tests.times' tests)
QUIETLY := --quiet --quiet --disable-pip-version-check
CODE := poller handlers tests benchmarks examples

# What is compiled is kept, in $(VENV) and beside the code: else each of a thousand processes would do it again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test test-thorough test-servers test-bounds check sizes format bench bench-peers pictures readme-picture controls chaos coverage lock clean
.DELETE_ON_ERROR:
.SUFFIXES:

help: ## Print this
	@echo 'make <target> [PYTHON=python3.12] [VENV=.venv]'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: $(USED) ## Index Python's standard library with four workers, until Ctrl-C
	@$(BIN)/python -m handlers.seed
	@$(BIN)/poller migrate --triggers
	@echo 'In another terminal: $(BIN)/poller status --watch, or in a browser: $(BIN)/poller ui'
	@exec $(BIN)/poller run --workers 4

test: check ## Check, then run the tests
	$(BIN)/pytest -m 'not alone and not thorough' $(TEXTS:%=--ignore=%) --numprocesses $(TESTERS) --dist worksteal
	$(BIN)/pytest -m alone $(filter-out $(TEXTS),$(ALONE))

test-thorough: $(DEVELOPED) ## Run what make test leaves out, and ten times as much of what is tried at random or with many rows
	$(BIN)/pytest -m thorough --numprocesses $(TESTERS) --dist worksteal
	POLLER_TEST_TIMES=10 $(BIN)/pytest $(THOROUGH) --numprocesses $(TESTERS) --dist worksteal

test-servers: $(DEVELOPED) ## Run the tests on Postgres 14 to 18 one after the other: make test-servers MAJORS='14 17'
	$(BIN)/python -m tests.every_server $(MAJORS) --testers $(TESTERS)

test-bounds: $(DEVELOPED) ## Run the tests of what others bring on their lowest and newest versions: make test-bounds VERSIONS=lowest
	$(BIN)/python -m tests.bounds $(VERSIONS)

check: $(DEVELOPED) ## Check the format, the rules, the texts, the types and the floors
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/pytest --quiet $(TEXTS)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

sizes: $(DEVELOPED) ## Print how long functions and files are, beside model codebases
	@$(BIN)/python -m tests.sizes

format: $(DEVELOPED) ## Format the code, and mend what can be mended
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

bench: $(USED) ## Measure beside loops written by hand: rates, latencies, what idleness costs
	$(BIN)/python -m benchmarks

bench-peers: $(USED) ## Measure beside other job systems, as far as they can be had here
	$(BIN)/python -m benchmarks.peers

pictures: $(DEVELOPED) ## Take a picture of each page of the desk, in any state, to be looked at in .pictures/
	$(BIN)/python -m tests.browser.pictures $(PAGES)

readme-picture: $(DEVELOPED) ## Take the picture of the desk that README.md shows, docs/desk.png
	$(BIN)/python -m tests.browser.picture

controls: $(DEVELOPED) ## Take each guard away in a copy, and see that the tests notice
	$(BIN)/python -m tests.faults.controls

chaos: $(DEVELOPED) ## Ten minutes of kills, cuts, locks, edits and DDL under load; then an audit
	$(BIN)/python -m tests.chaos

coverage: $(DEVELOPED) ## Run the tests, and show what they leave out
	$(BIN)/pytest --cov --cov-report=term

lock: $(DEVELOPED) ## Write down what development is done with, by hash: requirements-dev.txt
	@$(BIN)/pip install $(QUIETLY) pip-tools
	@{ sed -n '/^#/p;/^#/!q' requirements-dev.txt; $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras \
	  --extra dev --extra embedded --no-header --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
	  --output-file - pyproject.toml; } > requirements-dev.new
	@mv requirements-dev.new requirements-dev.txt

clean: ## Remove all that was made here, the embedded database included
	@[ ! -x $(BIN)/poller ] || $(BIN)/poller db stop
	rm -rf $(VENV) .poller .pictures .servers .bounds build dist .coverage .coverage.* .hypothesis .*_cache
	find $(CODE) -name __pycache__ -prune -exec rm -rf {} +

# Made anew whenever pyproject.toml has changed, so that it never holds what is no longer asked for.
# The embedded Postgres runs from there: it is stopped first, and started again by whoever needs it.
define MAKE_VENV
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	|| { echo 'poller needs Python 3.11 or newer; name one: make PYTHON=python3.12' >&2; exit 2; }; \
	[ ! -x $(BIN)/poller ] || $(BIN)/poller db stop || true; \
	$(PYTHON) -m venv --clear $(VENV)
endef
INSTALL := $(BIN)/pip install $(QUIETLY) --no-compile --editable

$(USED): pyproject.toml
	@echo 'installing into $(VENV), once'
	@$(MAKE_VENV)
	@$(INSTALL) '.[embedded,top,ui]'
	@touch $@

# At one go: what is needed to run comes with it.
$(DEVELOPED): pyproject.toml
	@echo 'installing the tools for development into $(VENV), once'
	@[ $(USED) -nt pyproject.toml ] || { $(MAKE_VENV); }
	@$(INSTALL) '.[embedded,top,ui,dev]'
	@touch $(USED) $@

# Two commands do everything on a fresh machine: `make quickstart`, `make test`.
# Variables: PYTHON=python3.11 (what the environment is made with), VENV=.venv,
# OUT=outputs/quickstart, PYTEST_ARGS='-k schedules'.
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=
# Files of tests side by side; `make test PARALLEL=` runs one after the other.
PARALLEL ?= -n auto --maxprocesses 4 --dist loadfile
# The plain word is shorter: next to, continues, because there is no.
WORDS := beside|goes on|for want of|hands out
SLOW := slow or gpu or slurm or mmdet or reliability
# What `make test` and the stacks run, each at its own versions.
TESTS ?= --doctest-modules mask_plugins tests
STACKS := $(shell tests/stacks/build.sh --where)
export PYTHON VENV OUT CONFIG

.DEFAULT_GOAL := help
.PHONY: help setup quickstart test test-slow test-slurm test-openmmlab \
	test-onedl test-py39 test-reliability test-all lint docs results-small \
	doctor clean

help:  ## say what there is
	@echo 'Two commands do everything: make quickstart, make test'
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  \1|\2/p' $(firstword $(MAKEFILE_LIST)) | \
		awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'

setup:  ## build the virtual environment (skipped when it is there)
	@tools/setup_env.sh

quickstart:  ## set up, train and test on the embedded digits, draw the curves
	@tools/quickstart.sh

test: setup  ## set up, then the test suite with the examples of docstrings
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PARALLEL) $(TESTS) \
		-m 'not ($(SLOW))' $(PYTEST_ARGS)

test-slow: setup  ## slow tests that need no SLURM; skips what this machine lacks
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PARALLEL) tests \
		-m '($(SLOW)) and not (slurm or reliability)' $(PYTEST_ARGS)

test-slurm: setup  ## install SLURM if absent, start one, test sweeps on it
	@tests/slurm/install.sh
	$(BIN)/python -m pytest -m slurm $(PYTEST_ARGS)

test-openmmlab:  ## Python 3.10, torch 2.1.2, full mmcv, mmdet, mmseg
	@tests/stacks/build.sh openmmlab
	$(call test_stack,openmmlab,mmdet or mim or not ($(SLOW)))

test-onedl:  ## the OneDL forks on the pinned torch
	@tests/stacks/build.sh onedl
	$(call test_stack,onedl,mim or not ($(SLOW)))

test-py39:  ## Python 3.9, torch 2.5.1, mmcv-lite
	@tests/stacks/build.sh py39
	$(call test_stack,py39,mim or not ($(SLOW)))

# $(1) is the stack, $(2) the markers.
define test_stack
	OMP_NUM_THREADS=1 $(STACKS)/$(1)/bin/python -m pytest $(PARALLEL) $(TESTS) \
		-m '$(2)' $(PYTEST_ARGS)
endef

test-reliability: setup  ## kills, foreign and mutated files, odd arguments, long runs
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PARALLEL) --dist load \
		tests/reliability $(PYTEST_ARGS)

test-all: test test-slow test-slurm  ## all three; test-reliability and the stacks take longer

lint: setup  ## ruff (lint and format), codespell, words
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell -D - -D .codespell-words.txt
	@if git grep -nwiE '$(WORDS)' -- '*.py' '*.md' '*.yml' '*.sh' \
		':!CONTRIBUTING.md'; then \
		echo 'lint: say it in plainer words (Makefile, WORDS)'; exit 1; fi

docs: setup  ## build the pages into build/docs/html; a warning is an error
	@$(BIN)/python -c 'import furo, myst_parser, sphinx_copybutton' 2>/dev/null || \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		-c requirements/pinned.txt -r requirements/docs.txt
	@$(BIN)/python -m sphinx -q -W --keep-going -b html docs build/docs/html
	@echo 'docs: open build/docs/html/index.html'

results-small: setup  ## run the digits rows of docs/results.md, name what left its spread
	OMP_NUM_THREADS=1 $(BIN)/python tools/results.py --small \
		--out outputs/results-small $(RESULTS_ARGS)

# Without `setup`: it has to run where that fails.
doctor:  ## say what is installed and what fixes it
	@if [ -x $(BIN)/python ]; then $(BIN)/python tools/doctor.py; \
		else $${PYTHON:-python3} tools/doctor.py; fi

clean:  ## remove what was built, but neither the environment nor outputs
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache
	find mask_plugins tools tests configs -name __pycache__ -prune \
		-exec rm -rf {} +

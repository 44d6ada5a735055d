# Everything a person needs on a fresh machine with Python 3.11: `make demo`, `make test`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LOCKS := requirements-bootstrap.lock requirements.lock
BUILT := pyproject.toml setup.py $(wildcard platform/quota/placement/*.[ch])
BUDGET ?= 20
MINUTES ?= 10
SEED ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo up test check bench faults soak fuzz lock clean

help:  ## what there is to make
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -e 's/:.*##/\t/' | expand -t 10

setup: $(STAMP)  ## the environment in .venv, from the locks, every hash checked

$(STAMP): $(LOCKS) $(BUILT)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
		{ echo "Python 3.11 is needed; '$(PYTHON)' is another. Name one: make setup PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bootstrap.lock
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/uv pip install --quiet --require-hashes -r requirements.lock
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation \
		--config-settings editable_mode=compat --editable .
	@touch $@

demo: setup  ## the main job from event to prediction, live in the terminal
	$(BIN)/headwater demo

up: setup  ## the platform, until Ctrl-C
	$(BIN)/headwater up

test: setup  ## all tests but the slow faults
	$(BIN)/pytest --numprocesses 2 --dist loadscope --no-loadscope-reorder

check: setup  ## lint, format, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: setup  ## every benchmark, one after the other
	@for each in bench/*.py; do echo "== $$each"; $(BIN)/python $$each || exit 1; done

faults: setup  ## the slow faults that fit into BUDGET minutes, in the day's order
	$(BIN)/pytest --faults --budget $(BUDGET)

soak: setup  ## random faults for MINUTES minutes, by SEED, and what the oracle says
	PYTHONPATH=tests $(BIN)/python tests/soak.py --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

fuzz: setup  ## the property tests with new examples for MINUTES minutes, from SEED on
	$(BIN)/python tests/fuzz.py --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

lock: setup  ## the locks again from pyproject.toml, newest versions
	$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-header --no-annotate --python-version 3.11 \
		--extra platform --extra examples --extra schemas --group dev --upgrade -o requirements.lock pyproject.toml
	awk '/^uv==/ {ours = 1; print; next} /^[a-z]/ {ours = 0} ours' requirements.lock > requirements-bootstrap.lock

clean:  ## no state, no caches; the environment stays
	rm -rf .headwater build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

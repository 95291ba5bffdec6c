# The verbs of the house. `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUN := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
# Q and MODEL reach the shell as environment variables, so that quotes in a question need no care.
export Q ?= What happens when you drop a ball?
export MODEL ?=
ARGS ?=
NAME ?=
ROOM ?=
# Files of tests side by side, one a core: each file's own shared parts are made once.
TESTS := $(BIN)/pytest -q -n auto --dist loadfile

.PHONY: help
help:  ## list the verbs
	@awk -F ':.*## +' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: ask
ask: $(RUN) $(if $(MODEL),,smol)  ## ask a question: make ask Q="What happens when you drop an egg?" ARGS="--save out"; without smol: MODEL=nano
	@$(BIN)/reverie ask "$$Q" $(if $(MODEL),--model "$$MODEL") $(ARGS)

# The base that stands beside nano, and what runs it. Where either cannot be had, nano answers alone.
.PHONY: smol
smol: $(RUN)  ## fetch the base that answers what nano was not taught, and the parts that run it
	@$(BIN)/python -c 'from importlib.util import find_spec as f; raise SystemExit(not all(map(f, ["peft", "gguf"])))' \
		|| $(BIN)/python -m pip install --quiet --retries 1 -c constraints.txt -e '.[bases]' || true
	@$(BIN)/python -c 'from reverie.paths import pulled_bundles; raise SystemExit("smol" not in pulled_bundles())' \
		|| $(BIN)/reverie models pull smol \
		|| echo "Without smol, nano answers alone; make ask MODEL=nano does not try to fetch it." >&2

.PHONY: serve
serve: $(RUN)  ## serve all models and the page on http://127.0.0.1:11434: make serve ARGS="--port 8080"
	@$(BIN)/python -c 'from importlib.util import find_spec as f; raise SystemExit(not all(map(f, ["uvicorn", "peft"])))' \
		|| $(BIN)/python -m pip install --quiet -c constraints.txt -e '.[serve,bases]'
	@$(BIN)/reverie serve $(ARGS)

.PHONY: test
test: $(if $(ROOM),$(DEV),lint)  ## lint and the fast tests: what CI runs; those of a room alone: make test ROOM=memory
	$(TESTS) -m "not slow and not gpu" $(ROOM:%=tests/%)

.PHONY: test-all
test-all: $(DEV)  ## the tests that take their time, too
	$(TESTS)

.PHONY: lint
lint: $(DEV)  ## style, types, import order
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

.PHONY: fuzz
fuzz: $(DEV)  ## property tests on examples never drawn before
	REVERIE_FUZZ=1 $(BIN)/pytest -q -m "not slow and not gpu" tests/data tests/memory tests/tokens tests/engine

.PHONY: check
check: format test  ## format, then everything that `make test` does

.PHONY: format
format: $(DEV)  ## mend formatting and what the linter can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: train
train: $(DEV)  ## make the packaged model again: image tokenizer, drills, worlds, facts (see recipes/)
	$(BIN)/reverie train tokenizer --config recipes/image-tokenizer.yaml
	$(BIN)/reverie train backbone --config recipes/drills.yaml
	$(BIN)/reverie train backbone --config recipes/nano.yaml
	$(BIN)/reverie train backbone --config recipes/nano-motion.yaml
	$(BIN)/reverie train backbone --config recipes/nano-ends.yaml
	$(BIN)/reverie train backbone --config recipes/nano-words.yaml
	$(BIN)/reverie train bundle runs/nano-words/export runs/nano-words/bundle --config recipes/nano-words.yaml
	$(BIN)/reverie train fact-attention --config recipes/nano-fact-attention.yaml
	$(BIN)/reverie train bundle runs/nano-words/export runs/nano-bundle --config recipes/nano-words.yaml --reader runs/nano-fact-attention/export/reader

.PHONY: bench
bench: $(DEV)  ## list the benchmarks, or run one: make bench NAME=everyday ARGS="--data FILE"
	$(BIN)/reverie bench $(NAME) $(ARGS)

.PHONY: docs
docs: $(DEV)  ## write the generated pages anew: docs/cli.md and the file tree of the README
	$(BIN)/python docs/generate.py

.PHONY: clean
clean:  ## remove caches and build outputs (the venv stays)
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find src tests docs -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is older than what it rests on when there is something to install.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Reverie needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(RUN): pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	@$(BIN)/reverie ask "What happens when you drop a ball?" --json > /dev/null  # compiles numba's loops, once
	@touch $@

$(DEV): pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@ $(RUN)

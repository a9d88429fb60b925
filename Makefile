# make demo: an environment, then the packaged quickstart mixed at 33 % Chinese.
# make test: an environment with everything the checks need, then lint, types and tests.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test lint types tests clean

demo: $(VENV)/.core
	$(BIN)/mixer build --almr 0.33

test: lint types tests

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.dev
	$(BIN)/mypy

# The small build first: it compiles the kernels once, and not in every test process.
tests: $(VENV)/.dev $(VENV)/s3/bin/moto_server
	rm -rf $(VENV)/first && $(BIN)/mixer build --limit 200 --out $(VENV)/first > $(VENV)/first.log
	MIXER_S3_SERVER=$(abspath $(VENV)/s3/bin/moto_server) $(BIN)/pytest -n auto --dist loadscope

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --constraint constraints.txt --editable .
	touch $@

# torch first and by exact version: the tests hold mixer's files against megatron-core, and a looser
# requirement would bring a GPU build.
$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) torch==2.13.0
	$(PIP) --constraint constraints.txt --editable '.[dev,train]'
	touch $@ $(VENV)/.core

$(VENV)/s3/bin/moto_server: scripts/s3_server.sh | $(BIN)/python
	PYTHON=$(BIN)/python scripts/s3_server.sh $(VENV)/s3
	touch $@

clean:
	rm -rf $(VENV) quickstart .pytest_cache .mypy_cache .ruff_cache .hypothesis

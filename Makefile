# make demo: an environment, then the packaged quickstart mixed at 33 % Chinese.
# make demo-train: a small model pre-trained on that, fine-tuned, exported and asked; minutes, without a GPU.
# make test: an environment with everything the checks need, then lint, types and tests.
# make cluster: the tests on real clusters of one machine; Slurm and Ray are started for them, and must be there.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo demo-train test lint types tests cluster clean

demo: $(VENV)/.core
	$(BIN)/mixer build --almr 0.33

# A model of two layers: what it says is no sense, but every step towards it is that of a large one.
TUNE := mixer/recipes/tuning
demo-train: $(VENV)/.train
	rm -rf demo && $(BIN)/mixer build --almr 0.33 --out demo/mixture
	$(BIN)/mixer train cpt demo/mixture --model tiny --lr 3e-3 --steps 16 --global-batch 2 --valid-samples 1 --out demo/cpt
	$(BIN)/mixer train sft $(TUNE)/quickstart-sft.yaml --model tiny --lr 3e-3 --steps 24 --init demo/cpt --out demo/sft
	$(BIN)/mixer train dpo $(TUNE)/quickstart-dpo.yaml --model tiny --lr 5e-4 --steps 12 --init demo/sft --out demo/dpo
	$(BIN)/mixer train export demo/dpo demo/model
	$(BIN)/python scripts/answer.py demo/model "How many clips are 48 and 24?"

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
	MIXER_S3_SERVER=$(abspath $(VENV)/s3/bin/moto_server) $(BIN)/pytest -n auto --dist loadscope -m 'not cluster'

# Two processes with clusters of their own: much of their time is waiting.
cluster: $(VENV)/.dev
	MIXER_CLUSTER=1 $(BIN)/pytest -n 2 --dist loadscope -m cluster tests/cluster

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --constraint constraints.txt --editable .
	touch $@

# torch first and by exact version: the tests hold mixer's files against megatron-core, and a looser
# requirement would bring a GPU build.
$(VENV)/.train: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) torch==2.13.0
	$(PIP) --constraint constraints.txt --editable '.[train]' transformers
	touch $@ $(VENV)/.core

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) torch==2.13.0
	$(PIP) --constraint constraints.txt --editable '.[dev,train]'
	touch $@ $(VENV)/.core $(VENV)/.train

$(VENV)/s3/bin/moto_server: scripts/s3_server.sh | $(BIN)/python
	PYTHON=$(BIN)/python scripts/s3_server.sh $(VENV)/s3
	touch $@

clean:
	rm -rf $(VENV) quickstart demo .pytest_cache .mypy_cache .ruff_cache .hypothesis

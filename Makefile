# Verbs; each does what it needs first. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.folkmoot-installed
export PATH := $(CURDIR)/$(BIN):$(PATH)
export RAY_DEDUP_LOGS := 0
UV_VERSION := 0.13.8
FAULTS ?= 1000
SEED ?= 1
DELIBERATIONS ?= 10000
CASES ?= 20
INPUTS ?= 100000

.PHONY: help setup demo test abuse testbed test-kubernetes bench bench-judgement soak chaos fuzz lint format docs proto release-protos lock clean

help: ## list the verbs
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

$(STAMP): requirements.lock pyproject.toml Makefile
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/uv pip install --quiet --compile-bytecode --require-hashes --python $(BIN)/python -r requirements.lock
	@$(BIN)/uv pip install --quiet --no-deps --python $(BIN)/python -e .
	@touch $@

setup: $(STAMP) ## make .venv with `moot` in it

demo: setup ## one story, several agents, one decision; no account, no GPU, no Docker
	@moot demo

test: setup lint ## everything that must hold
# Tests start a thousand Pythons, in sandboxes too, which write nothing here: what they import is compiled before.
	@python -m compileall -q services agents tools protos/gen tests deploy
	@python -m pytest --numprocesses auto --dist worksteal

testbed: setup ## build a Kubernetes of one node for the tests, once (some 20 minutes of one core)
	@python -m deploy.testbed.kubernetes build --set base

test-kubernetes: testbed ## the tests that need a cluster, and no others
	@python -m pytest -m kubernetes

abuse: setup ## two hundred attacks on every backend of workspaces, and a table
	@python -m tests.security.abuse

bench: setup ## measured ratios to floors taken in the same run
	@python -m tests.bench

bench-judgement: setup ## how well the jury chooses, on a pool of known truth; CASES=n (0: the whole half)
	@python -m tests.bench.judgement --computed --slices
	@python -m tests.bench.judgement --cases $(CASES)

soak: setup ## memory of the services over many deliberations; DELIBERATIONS=n
	@python -m tests.bench.soak --deliberations $(DELIBERATIONS)

chaos: setup ## faults at random over many deliberations, and a table; FAULTS=n SEED=s
	@python -m tests.chaos --faults $(FAULTS) --seed $(SEED)

fuzz: setup ## the border against hostile bundles and trees, and a table; INPUTS=n SEED=s
	@python -m tests.fuzz --inputs $(INPUTS) --seed $(SEED)

lint: setup ## style, types, layers, protos
	@ruff check --quiet .
	@ruff format --quiet --check .
	@mypy --no-error-summary
	@lint-imports --no-logo >/dev/null || lint-imports --no-logo
	@python deploy/protos.py --check
	@python deploy/settings_doc.py --check
	@cd protos && buf lint && buf format --diff --exit-code && buf breaking --against released.binpb

format: setup ## rewrite what ruff and buf can
	@ruff check --quiet --fix . || true
	@ruff format --quiet .
	@cd protos && buf format -w

docs: setup ## generate docs/settings.md
	@python deploy/settings_doc.py

proto: setup ## generate protos/gen
	@python deploy/protos.py

release-protos: setup ## what `buf breaking` compares with from now on
	@cd protos && buf build -o released.binpb

lock: setup ## resolve the newest allowed versions anew
	@uv pip compile --quiet pyproject.toml --group dev --universal --generate-hashes --no-emit-index-url \
		--no-header --python-version 3.11 --upgrade -o requirements.lock

clean: ## remove what setup made
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

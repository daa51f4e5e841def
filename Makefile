# Everything a developer runs. `make help` lists the targets; README.md tells which two matter first.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
VENV := .venv
PY := $(VENV)/bin/python
PYTHON ?= python3
PYTEST := $(PY) -m pytest
# One worker a core, a file's tests in order on one of them. Not on the bed: its nodes and its API server are everybody's.
SPREAD := -n auto --dist loadfile
# Someone's own cluster instead of the bed: make demo KUBECONFIG=~/.kube/config (its current context is used).
ifneq ($(filter command line,$(origin KUBECONFIG)),)
export CNMYSQL_TEST_KUBECONFIG := $(KUBECONFIG)
endif
unexport KUBECONFIG

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z][a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

$(VENV)/.ready: requirements-dev.lock pyproject.toml
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: venv
venv: $(VENV)/.ready ## Create .venv with the locked dependencies

.PHONY: lint
lint: venv ## ruff, mypy --strict, import walls, generated files up to date
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports
	$(PY) -m cnmysql.api.generate --check

.PHONY: generate
generate: venv ## Write what is generated: CRDs, admission policies, RBAC, API reference
	$(PY) -m cnmysql.api.generate

# Before the tests, whose timeouts are not made for minutes of compiling.
.PHONY: built
built: venv ## Build what tests run on, cached outside the checkout: Kubernetes, MySQL, images
	$(PY) -m tests.bed build

.PHONY: test-unit
test-unit: venv ## Pure logic and loopback servers
	$(PYTEST) $(SPREAD) tests/unit tests/loopback

.PHONY: test-sim
test-sim: venv ## Simulators of operator and instance, fixed seeds
	$(PYTEST) $(SPREAD) tests/sim

.PHONY: test-mysql
test-mysql: built ## Against real mysqld processes
	$(PYTEST) $(SPREAD) tests/mysql

.PHONY: test-kube
test-kube: built ## Against a real API server: schema, admission, RBAC
	$(PYTEST) tests/kube

.PHONY: bed
bed: venv ## A three-node Kubernetes on this machine with the operator deployed
	$(PY) -m tests.bed.deploy

.PHONY: demo
demo: venv ## Bed, operator, a three-instance Cluster, written to and read from
	$(PY) -m tests.demo

.PHONY: test-e2e
test-e2e: built ## The whole product on a real Kubernetes
	$(PYTEST) tests/e2e

.PHONY: test
test: lint test-unit test-sim test-mysql test-kube test-e2e ## Everything CI runs

.PHONY: soak
soak: built ## The random-kill tests with their full counts, and the rules on the oldest Kubernetes we run
	BED_KUBERNETES=1.34 $(PY) -m tests.bed build --apiserver-only
	BED_KUBERNETES=1.34 $(PYTEST) tests/kube
	CNMYSQL_SOAK=1 $(PYTEST) $(SPREAD) -o timeout=3600 tests/sim tests/mysql -k "safety or provision"
	CNMYSQL_SOAK=1 $(PYTEST) tests/e2e -m soak

.PHONY: bench
bench: built ## Figures, side by side with a baseline in the same run
	$(PY) -m tests.bench

.PHONY: clean
clean: ## Stop the bed and delete what was built in the checkout (caches outside it stay)
	@if [ -x $(PY) ]; then $(PY) -m tests.bed down; fi
	rm -rf .bed build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +

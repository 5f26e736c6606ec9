# `make` alone lists what there is. Every target works on a fresh Debian 12 or 13 with make and git.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := $(CURDIR)/.venv
export PATH := $(VENV)/bin:$(PATH)
# What make prints comes in order and at once, in a pipe and in CI too.
export PYTHONUNBUFFERED := 1
# uv trusts what this machine trusts, as pip does.
export UV_SYSTEM_CERTS := 1
# The project's own playbooks only; nothing of the user's.
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
unexport ANSIBLE_COLLECTIONS_PATH

RUNTIME_PYTHON := $(CURDIR)/.cache/venv-runtime/bin/python
INVENTORY ?= inventories/local
SCOPE ?= local
# Locks hold for every supported Python, carry hashes, and name no package index.
export UV_CUSTOM_COMPILE_COMMAND := make lock
COMPILE := uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links
LOCKS := requirements.txt sample_project/requirements.lock sample_project/requirements-dev.lock \
	celery_runtime/requirements-test.lock roles/celery_runtime/files/runtime.lock roles/django_project/files/tools.lock \
	molecule/faults/project/requirements.lock

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Install what the controller needs: Debian packages (with sudo) and .venv, from the lock
	@testbench/setup.sh

.PHONY: demo
demo: setup ## Bring up a host, run site.yml on it, register a user and show what happens
	@python -m testbench.demo

.PHONY: demo-down
demo-down: ## Remove what the demo made: hosts, network, mail sink (images stay: make clean)
	@if [ -x .venv/bin/python ]; then python -m testbench.hosts down; else echo "  nothing to remove"; fi

.PHONY: host
host: setup ## Bring up the hosts of an inventory only (INVENTORY=… SCOPE=…)
	@python -m testbench.hosts up --scope $(SCOPE) --inventory $(INVENTORY)
	@python -m testbench.hosts prepare --scope $(SCOPE) --inventory $(INVENTORY)

.PHONY: test
test: setup ## Everything that CI runs, with the time of each step at the end
	@python -m testbench.runner

.PHONY: lint
lint: setup ## ruff, yamllint, shellcheck, ansible-lint (production profile), collections against their ranges
	@python -m testbench.lint

.PHONY: sanity
sanity: setup ## ansible-test sanity on the collection (T="pep8 ansible-doc" for some of its tests)
	@python -m testbench.sanity $(T)

.PHONY: collection
collection: setup ## Build the collection's tarball from what is committed, into .cache/dist
	@rm -rf .cache/dist && mkdir -p .cache/dist/tree && git archive HEAD | tar -x -C .cache/dist/tree
	@ansible-galaxy collection build --output-path .cache/dist .cache/dist/tree && rm -r .cache/dist/tree

.PHONY: audit
audit: setup ## Known vulnerabilities of what the locks pin; says so where no service tells of them
	@python -m testbench.audit

.PHONY: test-unit
test-unit: setup ## Host-free tests
	@python -m pytest --randomly-seed=$(or $(TEST_SEED),1) tests

# Environments with Celery and Django, which the controller has no need of.
.PHONY: sample-environment
sample-environment: setup
	@test -x .cache/venv-sample/bin/python || uv venv --quiet --python /usr/bin/python3 .cache/venv-sample
	@uv pip sync --quiet --python .cache/venv-sample/bin/python --require-hashes sample_project/requirements-dev.lock

# The runtime in place: its command of Celery's comes with it, and its code is that of the working tree.
.PHONY: runtime-environment
runtime-environment: setup
	@test -x $(RUNTIME_PYTHON) || uv venv --quiet --python /usr/bin/python3 .cache/venv-runtime
	@uv pip sync --quiet --python $(RUNTIME_PYTHON) --require-hashes celery_runtime/requirements-test.lock
	@uv pip install --quiet --offline --python $(RUNTIME_PYTHON) --no-deps --no-build-isolation --editable celery_runtime

.PHONY: test-sample
test-sample: sample-environment ## The sample project's own tests, in an environment of their own
	@cd sample_project && ../.cache/venv-sample/bin/python -m pytest

.PHONY: test-runtime
test-runtime: runtime-environment ## The Celery runtime's tests: real workers and a real Redis, killed and frozen
	@cd celery_runtime && $(RUNTIME_PYTHON) -m pytest -n 4

.PHONY: molecule
molecule: setup ## One Molecule scenario from create to destroy (S=default)
	@molecule test --scenario-name $(or $(S),default)

.PHONY: chaos
chaos: runtime-environment ## The model of the protocol at random (STEPS=200000), then faults on the host of molecule/faults, under load (MINUTES=30 SEED=…)
	@number=$(or $(SEED),$$RANDOM); echo "  the model of the protocol, SEED=$$number"; \
		cd celery_runtime && \
		PROTOCOL_STEPS=$(or $(STEPS),200000) PROTOCOL_SEED=$$number $(RUNTIME_PYTHON) -m pytest -q tests/test_protocol.py
	@python -m testbench.faults --up --minutes $(or $(MINUTES),30) $(if $(SEED),--seed $(SEED))

.PHONY: bench
bench: runtime-environment ## The runtime against stock kombu: tasks a second, CPU of worker and Redis (ROUNDS=5 TASKS=4000)
	@$(RUNTIME_PYTHON) -m bench --rounds $(or $(ROUNDS),5) --tasks $(or $(TASKS),4000)

.PHONY: lock
lock: setup ## Pin the newest versions that the ranges allow, with hashes: controller, roles, runtime, sample project
	@$(COMPILE) --group test pyproject.toml -o requirements.txt
	@$(COMPILE) --all-extras celery_runtime/pyproject.toml roles/celery_runtime/files/requirements.in -o roles/celery_runtime/files/runtime.lock
	@$(COMPILE) roles/django_project/files/tools.in -o roles/django_project/files/tools.lock
	@cd sample_project && $(COMPILE) pyproject.toml -o requirements.lock
	@cd sample_project && $(COMPILE) --group dev pyproject.toml -c requirements.lock -o requirements-dev.lock
	@$(COMPILE) --all-extras --group celery_runtime/pyproject.toml:test celery_runtime/pyproject.toml \
		-c sample_project/requirements-dev.lock -o celery_runtime/requirements-test.lock
	@cd molecule/faults/project && $(COMPILE) requirements.in -c ../../../sample_project/requirements.lock -o requirements.lock
	@if grep -nE '://|^-' $(LOCKS); then echo "A lock names an address." >&2; exit 1; fi
	@echo "  $(words $(LOCKS)) locks written; make setup installs the controller's"

.PHONY: docs
docs: setup ## Write the tables of the roles' README files anew from their argument specs
	@python tools/role_docs.py

.PHONY: release
release: setup ## Name what is unreleased as a version, in all files that name it (VERSION=1.2.3); see CONTRIBUTING.md
	@python -m tools.release cut "$(VERSION)"
	@echo "  $(VERSION) is written. Read the changelog once more, then: git commit -am 'Release $(VERSION)' && git tag -a v$(VERSION)"

.PHONY: tables
tables: setup ## Write anew what the inventories come to (tests/tables): variables, wiring, directives of units
	@PYTHONPATH=. python tools/tables.py

.PHONY: hosts-down
hosts-down: ## Remove every test host of this clone, also those that a killed run left, and put kernel settings back
	@if [ -x .venv/bin/python ]; then python -m testbench.hosts down --all; else echo "  nothing to remove"; fi

.PHONY: clean
clean: demo-down hosts-down ## Remove what make made: hosts, images, environments, caches (not .secrets)
	@if [ -x .venv/bin/python ]; then python -m testbench.hosts remove-images; fi
	@rm -rf .venv .cache

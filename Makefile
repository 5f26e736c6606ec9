# `make` alone lists what there is. Every target works on a fresh Debian 12 or 13 with make and git.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := $(CURDIR)/.venv
export PATH := $(VENV)/bin:$(PATH)
# What make prints comes in order and at once, in a pipe and in CI too.
export PYTHONUNBUFFERED := 1
# Each task of Ansible's is a process that loads the plugins anew. Where bytecode may not be written it compiles them, too: an eighth of the
# controller's time in a second run, by a profile. The bytecode stands apart, so that the clone stays clean.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX := $(CURDIR)/.cache/bytecode
# uv trusts what this machine trusts, as pip does.
export UV_SYSTEM_CERTS := 1
# The project's own playbooks only; nothing of the user's.
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
unexport ANSIBLE_COLLECTIONS_PATH

# The minor versions of Celery that the runtime supports, the oldest first. CELERY names the one whose environment is meant; 5.6-5.7 is
# Celery 5.6 with kombu 5.7.
VERSIONS := 5.5 5.6 5.7
NEWEST := $(lastword $(VERSIONS))
CELERY ?= $(NEWEST)
RUNTIME_ENVIRONMENT := $(CURDIR)/.cache/venv-runtime$(if $(filter $(NEWEST),$(CELERY)),,-$(CELERY))
RUNTIME_PYTHON := $(RUNTIME_ENVIRONMENT)/bin/python
# What decides whether a worker starts, and whether a task is lost, within the four minutes that each run of CI has for it. `make test-long`
# runs all.
RUNTIME_CORE := $(addprefix tests/test_,$(addsuffix .py,acl compatibility older_versions fetch settling redelivery record results))
INVENTORY ?= inventories/local
SCOPE ?= local
# Locks hold for every supported Python, carry hashes, and name no package index.
export UV_CUSTOM_COMPILE_COMMAND := make lock
COMPILE := uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links
# The examples run on Debian 13 alone.
COMPILE_13 := $(subst 3.11,3.13,$(COMPILE))
COMPILE_TEST := $(COMPILE) --all-extras --group celery_runtime/pyproject.toml:test celery_runtime/pyproject.toml
LOCKS := requirements.txt sample_project/requirements.lock sample_project/requirements-dev.lock \
	$(foreach one,$(VERSIONS) 5.6-5.7,celery_runtime/requirements-test-$(one).lock) \
	$(foreach one,$(VERSIONS),roles/celery_runtime/files/runtime-$(one).lock) roles/django_project/files/tools.lock \
	molecule/faults/project/requirements.lock $(wildcard examples/*/project/requirements.lock)
# A lock of uv's can't be without an index, so it names one that isn't there: a deployment has its own.
PROJECT_LOCK := molecule/any_project/project/uv.lock

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

.PHONY: example
example: setup ## An application that nobody here wrote, from the index: host, site.yml, login, task, second run (E=weblate, allianceauth or patchman)
	@python -m testbench.example $(E)

.PHONY: example-down
example-down: ## Remove what an example made: host and network (E=weblate)
	@python -m testbench.hosts down --scope $(E)

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
	@test -x $(RUNTIME_PYTHON) || uv venv --quiet --python /usr/bin/python3 $(RUNTIME_ENVIRONMENT)
	@uv pip sync --quiet --python $(RUNTIME_PYTHON) --require-hashes celery_runtime/requirements-test-$(CELERY).lock
	@uv pip install --quiet --offline --python $(RUNTIME_PYTHON) --no-deps --no-build-isolation --editable celery_runtime

.PHONY: test-sample
test-sample: sample-environment ## The sample project's own tests, in an environment of their own
	@cd sample_project && ../.cache/venv-sample/bin/python -m pytest

.PHONY: test-runtime
test-runtime: runtime-environment ## The Celery runtime's tests: real workers and a real Redis, killed and frozen (CELERY=5.5 or another)
	@cd celery_runtime && $(RUNTIME_PYTHON) -m pytest -n 4

.PHONY: test-runtime-core
test-runtime-core: runtime-environment ## Those of them that decide whether a task is lost (CELERY=5.5 or another)
	@cd celery_runtime && $(RUNTIME_PYTHON) -m pytest -n 4 $(RUNTIME_CORE)

.PHONY: test-runtime-oldest
test-runtime-oldest: ## The same with the oldest Celery that is supported
	@$(MAKE) test-runtime-core CELERY=$(firstword $(VERSIONS))

.PHONY: test-long
test-long: ## All of the runtime's tests with each version of Celery; some 10 minutes each on two cores
	@for one in $(VERSIONS) 5.6-5.7; do echo "  Celery $$one"; $(MAKE) test-runtime CELERY=$$one; done

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
	@for one in $(VERSIONS); do \
		$(COMPILE) --all-extras celery_runtime/pyproject.toml roles/celery_runtime/files/requirements.in \
			-c roles/celery_runtime/files/runtime-$$one.in -o roles/celery_runtime/files/runtime-$$one.lock; \
	done
	@$(COMPILE) roles/django_project/files/tools.in -o roles/django_project/files/tools.lock
	@cd sample_project && $(COMPILE) pyproject.toml -o requirements.lock
	@cd sample_project && $(COMPILE) --group dev pyproject.toml -c requirements.lock -o requirements-dev.lock
	@$(COMPILE_TEST) -c sample_project/requirements-dev.lock -c roles/celery_runtime/files/runtime-$(NEWEST).in \
		-o celery_runtime/requirements-test-$(NEWEST).lock
	@for one in $(filter-out $(NEWEST),$(VERSIONS)); do \
		$(COMPILE_TEST) -c roles/celery_runtime/files/runtime-$$one.in -o celery_runtime/requirements-test-$$one.lock; \
	done
	@$(COMPILE_TEST) -c celery_runtime/requirements-test-5.6-5.7.in -o celery_runtime/requirements-test-5.6-5.7.lock
	@cd molecule/faults/project && $(COMPILE) requirements.in -c ../../../sample_project/requirements.lock -o requirements.lock
	@for one in $(wildcard examples/*/project/requirements.in); do (cd "$$(dirname $$one)" && $(COMPILE_13) requirements.in -o requirements.lock); done
	@rm -f $(PROJECT_LOCK) && uv lock --quiet --no-python-downloads --project $(dir $(PROJECT_LOCK))
	@sed -i -E 's,registry = "[^"]*",registry = "https://index.invalid/simple",; s,url = "[^"]*/,url = "https://index.invalid/,' $(PROJECT_LOCK)
	@if grep -nE '://|^-' $(LOCKS); then echo "A lock names an address." >&2; exit 1; fi
	@echo "  $(words $(LOCKS) $(PROJECT_LOCK)) locks written; make setup installs the controller's"

.PHONY: docs
docs: setup ## Write anew what follows from the roles' argument specs: defaults, tables of inputs
	@python -m tools.role_docs

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

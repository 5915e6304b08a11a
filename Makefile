# The task runner. `make help` lists what it does; every target does its own set-up.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help serve load-sample lint type test acceptance bench robustness proto client docs migrate build lock

PYTHON ?= python3
PYTHON_VERSION := $(shell $(PYTHON) -c 'import sys; print(".".join(map(str, sys.version_info[:2])))')
BIN := .venv/bin
PACKAGES := protos models server client loader testing
EDITABLE := $(addprefix --editable ./,$(PACKAGES))
PROJECTS := pyproject.toml $(addsuffix /pyproject.toml,$(PACKAGES))
PIP := -m pip --quiet --disable-pip-version-check install
EXPORT := $(BIN)/uv export --quiet --no-header --no-annotate --no-emit-workspace --no-default-groups
FLOOR_client := protos client
FLOOR_services := protos models server loader client testing
# The generator has wheels for Python 3.11 to 3.13; elsewhere the test that generates stubs is skipped.
GENERATOR := $(shell $(PYTHON) -c 'import sys; print(".venv-proto/.done" if sys.version_info < (3, 14) else "")')
FLOORS := .venv-floor/client/.done .venv-floor/services/.done
COMPILE := $(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-header --no-annotate
SITE := --builder html --conf-dir docs/site --doctree-dir build/site-doctrees --nitpicky --fail-on-warning --quiet
LOWEST := $(COMPILE) --resolution lowest-direct --all-extras $(addprefix --no-emit-package artemis-,$(PACKAGES)) requirements/build.in

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 13

serve: .venv/.serve ## Serve on 127.0.0.1:50051 from artemis.db (settings: ARTEMIS_*)
	@$(BIN)/artemis-server serve

load-sample: .venv/.serve ## Load the sample feeds of docs/samples into artemis.db
	@$(BIN)/artemis-server migrate
	@$(BIN)/artemis-loader load --config docs/samples/feeds.toml

# Bytecode is kept, whatever the environment says: without it, every process of the tests compiles all modules.
test: .venv/.dev $(FLOORS) $(GENERATOR) ## Run the tests (one of them: make test ARGS=tests/unit/test_masks.py)
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest $(ARGS)

acceptance: .venv/.dev $(FLOORS) $(GENERATOR) ## Try what users hold: pages, images, oldest dependencies, older clients
	PYTHONDONTWRITEBYTECODE= HYPOTHESIS_PROFILE=$${HYPOTHESIS_PROFILE:-thorough} \
		$(BIN)/python -m pytest -m 'acceptance or thorough or hypothesis' $(ARGS)

lint: .venv/.dev .venv-proto/.done type ## Check style, imports, types, the contract and its stubs
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/python client/generate_sync.py --check
	.venv-proto/bin/python protos/check.py --buf $(BIN)/buf
	.venv-proto/bin/python client/generate_entities.py --check

type: .venv/.dev ## Check the types
	$(BIN)/mypy

bench: .venv/.dev ## Measure the speed into docs/benchmarks.* (short: make bench ARGS='--rounds 1 --seconds 1')
	$(BIN)/python -m tests.benchmarks $(ARGS)

robustness: .venv/.dev ## Attack the server for some minutes (one attack: make robustness ARGS='--only idle')
	$(BIN)/python -m tests.robustness $(ARGS)

proto: .venv-proto/.done ## Generate the stubs, docs/reference.md and the client's dataclasses from the .proto files
	.venv-proto/bin/python protos/generate.py
	.venv-proto/bin/python protos/reference.py
	.venv-proto/bin/python client/generate_entities.py

client: .venv/.dev ## Generate the client without asyncio from the asynchronous one
	$(BIN)/python client/generate_sync.py

docs: .venv-docs/.done ## Build the site of docs/ into build/site, and check its links
	@rm -rf build/site
	.venv-docs/bin/python -m sphinx $(SITE) . build/site
	@echo "Open build/site/index.html"

migrate: .venv/.serve ## Bring the database's schema up to date
	@$(BIN)/artemis-server migrate

build: .venv/.dev .venv-proto/.done ## Build what a release consists of into dist/, and check it
	rm -rf dist
	for package in $(PACKAGES); do $(BIN)/python -m build --quiet --no-isolation --outdir dist $$package || exit; done
	.venv-proto/bin/python protos/export.py dist
	$(BIN)/twine check --strict dist/*.whl dist/*.tar.gz
	ARTEMIS_DIST=dist $(BIN)/python -m pytest tests/packages $(ARGS)

lock: .venv/.dev ## Resolve the dependencies anew into requirements/
	$(BIN)/uv lock --quiet --upgrade
	$(EXPORT) --group build --output-file requirements/serve.txt
	$(EXPORT) --group dev --output-file requirements/dev.txt
	$(COMPILE) requirements/proto.in --output-file requirements/proto.txt
	$(COMPILE) --python-version 3.11 requirements/docs.in --output-file requirements/docs.txt
	$(LOWEST) $(addsuffix /pyproject.toml,$(FLOOR_client)) --output-file requirements/floor-client.txt
	$(LOWEST) $(addsuffix /pyproject.toml,$(FLOOR_services)) --output-file requirements/floor-services.txt

# The stamp names the version, so that another PYTHON makes the environment anew.
PYTHON_STAMP := .venv/.python-$(PYTHON_VERSION)

$(PYTHON_STAMP):
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed" if sys.version_info < (3, 11) else 0)'
	@echo "Making .venv with Python $(PYTHON_VERSION) ..."
	@rm -rf .venv
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/.serve: requirements/serve.txt $(PROJECTS) $(PYTHON_STAMP)
	@echo "Installing what the server and the loader need into .venv; the first time takes about a minute ..."
	@$(BIN)/python $(PIP) --require-hashes --requirement requirements/serve.txt
	@$(BIN)/python $(PIP) --no-deps --no-build-isolation $(EDITABLE)
	@touch $@

.venv/.dev: requirements/dev.txt .venv/.serve
	@echo "Installing what the tests and checks need into .venv ..."
	@$(BIN)/python $(PIP) --require-hashes --requirement requirements/dev.txt
	@touch $@

.venv-floor/%/.done: requirements/floor-%.txt requirements/serve.txt $(PROJECTS) $(PYTHON_STAMP)
	@echo "Installing the oldest supported dependencies into $(@D) ..."
	@rm -rf $(@D)
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python $(PIP) --require-hashes --requirement $<
	@$(@D)/bin/python $(PIP) --no-deps --no-build-isolation $(addprefix --editable ./,$(FLOOR_$*))
	@touch $@

.venv-proto/.done: requirements/proto.txt $(PYTHON_STAMP)
	@echo "Installing the generator of the stubs into .venv-proto ..."
	@rm -rf .venv-proto
	@$(PYTHON) -m venv .venv-proto
	@.venv-proto/bin/python $(PIP) --require-hashes --requirement requirements/proto.txt
	@touch $@

.venv-docs/.done: requirements/docs.txt $(PYTHON_STAMP)
	@echo "Installing what builds the site into .venv-docs ..."
	@rm -rf .venv-docs
	@$(PYTHON) -m venv .venv-docs
	@.venv-docs/bin/python $(PIP) --require-hashes --requirement $<
	@touch $@

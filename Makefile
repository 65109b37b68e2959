# Everything that a person runs. Needs Python 3.11 or newer, and make.
PYTHON ?= python3
VENV ?= .venv
CONFIG ?= examples/watch/evernas.yaml
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# On Linux, PyPI's torch carries CUDA (5 GB). For the CPU build, which is enough:
#   make install TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
EXTRA_INDEX := $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX),)

.DEFAULT_GOAL := help

.PHONY: help
help: ## Say what each target does.
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else f"evernas needs Python 3.11 or newer, and this is {sys.version.split()[0]}: run make PYTHON=/path/to/python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing evernas and what it needs into $(VENV) (a few minutes, once) ..."
	@$(BIN)/python -m pip install -q -c constraints.txt $(EXTRA_INDEX) -e '.[dev]'
	@touch $@

.PHONY: install
install: $(STAMP) ## Make the environment and install evernas with all that it needs.

.PHONY: run
run: $(STAMP) ## Run the whole loop on the watch data; again, and the next wearer arrives.
	@$(BIN)/python $(dir $(CONFIG))deliver.py --config $(CONFIG) --home "$${EVERNAS_HOME:-.evernas}"
	@$(BIN)/evernas run $(CONFIG)

.PHONY: plan
plan: $(STAMP) ## Say what a run would do, without doing it.
	@$(BIN)/evernas plan $(CONFIG)

.PHONY: test
test: $(STAMP) ## Run all tests, the whole loop and its kills included.
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder --durations=10

.PHONY: test-quick
test-quick: $(STAMP) ## Run the tests without those that take the whole loop.
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m "not e2e"

.PHONY: check
check: $(STAMP) ## Lint, check formatting, types and the direction of imports.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

.PHONY: format
format: $(STAMP) ## Format the code and mend what the linter can.
	@$(BIN)/ruff check --fix -q .
	@$(BIN)/ruff format -q .

.PHONY: bench
bench: $(STAMP) ## Measure quality on the watch data against a tree ensemble (about an hour).
	@$(BIN)/python benchmarks/watch.py

.PHONY: mutation
mutation: $(STAMP) ## Change the gate's code in every way and see whether a test notices (hours; not part of CI).
	@$(BIN)/python -m pip install -q -c constraints.txt -e '.[mutation]'
	@$(BIN)/mutmut run
	@$(BIN)/mutmut results

# Their base is pinned in components/Dockerfile; where no registry is reached: make image-base images BASE=localhost/base:1
BASE ?=
IMAGES ?=
MEASURE ?=
TORCH ?=
.PHONY: images
images: ## Build the container images: make images, or make images IMAGES="core runner".
	@TORCH_INDEX=$(TORCH_INDEX) $(PYTHON) components/build.py $(IMAGES) $(if $(BASE),--base $(BASE),) $(if $(MEASURE),--measure,) $(if $(TORCH),--torch $(TORCH),)

.PHONY: image-base
image-base: ## Make a base image from Debian's packages, for a place without a registry (root, debootstrap).
	@components/base.sh $(or $(BASE),localhost/base:1)

KEEP ?=
.PHONY: e2e-cluster
e2e-cluster: $(STAMP) ## Try all of it on the cluster that the environment names (docs/cluster.md says by which variables).
	@$(BIN)/python tests/e2e/cluster $(if $(KEEP),--keep,)

.PHONY: deploy
deploy: ## Install Kubeflow Pipelines and evernas on AWS: make deploy ENV=dev CONFIG=evernas.yaml, after terraform apply.
	@$(PYTHON) infra/deploy/deploy.py $(or $(ENV),$(error say which environment: make deploy ENV=dev)) $(if $(findstring command,$(origin CONFIG)),--config $(CONFIG),)

.PHONY: docs
docs: $(STAMP) ## Build the documentation into site/ (open site/index.html); warnings fail.
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

.PHONY: pictures
pictures: $(STAMP) ## Draw the documentation's pictures anew.
	@$(BIN)/python docs/pictures.py

.PHONY: screenshots
screenshots: $(STAMP) ## Run the watch example twice and take the documentation's pictures of it (Chromium, eight minutes).
	@$(BIN)/python docs/screenshots.py

.PHONY: golden
golden: $(STAMP) ## Write the golden files anew: compiled pipelines, schemas and step versions.
	@$(BIN)/python tests/golden.py

.PHONY: clean
clean: ## Remove the example's state and caches; the environment stays.
	rm -rf .evernas .pytest_cache .mypy_cache .ruff_cache .hypothesis

# Everything an engineer runs; README.md tells the two that matter.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# uv does not read pip's settings: pass on where pip finds local wheels (a CPU build of torch, say).
FIND_LINKS := $(shell $(PYTHON) -m pip config get global.find-links 2>/dev/null)
export UV_FIND_LINKS ?= $(if $(PIP_FIND_LINKS),$(PIP_FIND_LINKS),$(FIND_LINKS))
# Without bytecode torch, transformers and peft take twice as long to import (13.5 s against 7), in every process.
unexport PYTHONDONTWRITEBYTECODE
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: install demo test up check bench browser clean lock

install: $(VENV)/.installed ## Make the environment from requirements.lock

$(VENV)/.installed: requirements.lock pyproject.toml
	@test -x $(BIN)/uv || { echo "Making $(VENV) …"; $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet uv; }
	@echo "Installing from requirements.lock …"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

demo: install ## The whole loop on the made-up demo author
	@$(BIN)/python -m demo.run

test: install ## The whole test suite
	@$(BIN)/python -m pytest -n 2

up: install ## Dagster, serving, page and MLflow together, on loopback; Ctrl-C stops all
	@$(BIN)/twin up $(if $(DEMO),--demo)

browser: install ## The browser journey alone; its screenshots become docs/images
	@$(BIN)/python -m pytest tests/browser --screenshots docs/images

check: install ## Lint, format, types, layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: install ## Benchmarks: each prints a table of ratios
	@$(BIN)/python -m benchmarks

lock: install ## Resolve the dependencies anew
	@$(BIN)/uv pip compile --quiet --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
		--python-version 3.11 --extra pipelines --extra serving --extra ui --extra dev pyproject.toml \
		| sed -e 's/+cpu$$//' -e '/^-/d' > requirements.lock.new
	@mv requirements.lock.new requirements.lock

clean: ## Remove what this checkout made, the user's data under .twin excepted
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

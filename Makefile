# The two commands of the README: `make demo` and `make test`. Both make the environment first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test lint unit display preview clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

demo: $(VENV)/.demo ## segment a simulated patient from all 15 combinations of sequences, make a page to look at
	$(BIN)/python -m DMAFTraining.demo --output demo-output

test: lint unit ## everything CI checks: style, types, import arrows, tests

lint: $(VENV)/.test ## style (ruff), types (mypy), import arrows (import-linter)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=DMAFSegment $(BIN)/lint-imports

unit: $(VENV)/.test display ## the tests, on two cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

DMAF_DATA ?= ../shared/data
preview: $(VENV)/.demo ## train the preview model again (hours on a CPU; DMAF_DATA names the folder of label maps and scans)
	$(BIN)/python -m DMAFTraining.prepare simulate --count 549 --seed 1 --output runs/cohort \
	    --anatomies $(DMAF_DATA)/anatomies --backgrounds $(DMAF_DATA)/openms
	$(BIN)/python -m DMAFTraining.prepare simulate --count 30 --seed 2 --output runs/cohort-template
	mv runs/cohort-template/simulated-* runs/cohort/
	$(BIN)/python DMAFTraining/train.py --config DMAFTraining/configs/preview_crops.yaml
	$(BIN)/python DMAFTraining/train.py --config DMAFTraining/configs/preview_whole.yaml

display: ## system libraries that offscreen rendering needs (Debian, Ubuntu; asks for nothing elsewhere)
	@sh Testing/tools/install_display_libraries.sh

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing what the demo needs into $(VENV) (a few minutes, once) ..."
	$(PIP) torch
	$(PIP) -e '.[demo]'
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing what the tests need into $(VENV) (a few minutes, once) ..."
	$(PIP) torch
	$(PIP) -e '.[test]'
	@touch $@

clean: ## remove the environment and everything generated
	rm -rf $(VENV) demo-output .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

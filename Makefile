# The two commands of the README: `make demo` and `make test`. Both make the environment first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test lint unit display train-release clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

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

# The folder of label maps and scans that training cases are made of.
DMAF_DATA ?= ../shared/data
RELEASE ?= runs/release
RELEASE_CASES ?= 600
RELEASE_JUDGED ?= 12
MODELS := dmaf plain unet
JUDGED := validation validation-shifted test test-shifted
SIMULATE := $(BIN)/python -m DMAFTraining.prepare simulate --anatomies $(DMAF_DATA)/anatomies
TRAIN := $(BIN)/python -m DMAFTraining.train --config DMAFTraining/configs/release_
EVALUATE := $(BIN)/python -m DMAFTraining.evaluate
CROPS ?= data.patch=[64,64,64] optimizer.learning_rate=0.001 iterations=1500
HEADS_validation := --seed 12 --split validation
HEADS_validation-shifted := --seed 13 --split validation --appearance shifted
HEADS_test := --seed 14 --split test
HEADS_test-shifted := --seed 15 --split test --appearance shifted

# Every step is a file, written whole at its end: the same command goes on where it was stopped. -j 2 trains two
# models at once, which two cores do faster than one after the other; give OMP_NUM_THREADS=1 with it.
train-release: $(RELEASE)/release.safetensors ## train, choose, calibrate and describe a 2 mm model (a working day on 2 cores)

$(RELEASE)/store/index.json: | $(VENV)/.demo
	$(SIMULATE) --count $(RELEASE_CASES) --seed 11 --backgrounds $(DMAF_DATA)/openms --output $(RELEASE)/cohort
	$(BIN)/python -m DMAFTraining.prepare brats --root $(RELEASE)/cohort --output $(RELEASE)/store

$(JUDGED:%=$(RELEASE)/%/statistics.txt): $(RELEASE)/%/statistics.txt: | $(VENV)/.demo
	$(SIMULATE) --count $(RELEASE_JUDGED) $(HEADS_$*) --output $(RELEASE)/$*

$(MODELS:%=$(RELEASE)/%/model.safetensors): $(RELEASE)/%/model.safetensors: | $(RELEASE)/store/index.json
	$(TRAIN)$*.yaml data.root=$(RELEASE)/store output=$(RELEASE)/$*-crops $(CROPS) $(TRAIN_$*)
	$(TRAIN)$*.yaml data.root=$(RELEASE)/store output=$(RELEASE)/$* \
	    initial=$(RELEASE)/$*-crops/checkpoint.pt $(TRAIN_$*)

# Chosen on other people's heads, drawn as in training and with contrast, resolution and shapes that training never shows.
$(RELEASE)/chosen.safetensors: $(MODELS:%=$(RELEASE)/%/model.safetensors) \
    | $(RELEASE)/validation/statistics.txt $(RELEASE)/validation-shifted/statistics.txt
	$(EVALUATE) --bundle $^ --cases $(RELEASE)/validation --output $(RELEASE)/scores/validation
	$(EVALUATE) --bundle $^ --cases $(RELEASE)/validation-shifted --output $(RELEASE)/scores/validation-shifted
	$(BIN)/python -m DMAFTraining.release choose --bundles $^ --output $@ \
	    --scores $(RELEASE)/scores/validation/scores.csv $(RELEASE)/scores/validation-shifted/scores.csv

$(RELEASE)/calibrated.safetensors: $(RELEASE)/chosen.safetensors
	$(BIN)/python -m DMAFTraining.release calibrate --bundle $< --output $@ \
	    --cases $(RELEASE)/validation $(RELEASE)/validation-shifted

$(RELEASE)/release.safetensors: $(RELEASE)/calibrated.safetensors \
    | $(RELEASE)/test/statistics.txt $(RELEASE)/test-shifted/statistics.txt
	$(EVALUATE) --bundle $< --cases $(RELEASE)/test --output $(RELEASE)/scores/test
	$(EVALUATE) --bundle $< --cases $(RELEASE)/test-shifted --output $(RELEASE)/scores/test-shifted
	$(BIN)/python -m DMAFTraining.release expect --bundle $< --output $@ --about "of people never trained on" \
	    --scores $(RELEASE)/scores/test/scores.csv $(RELEASE)/scores/test-shifted/scores.csv

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

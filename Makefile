.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Set in many containers. Every job and every command is a process, and would compile all that it imports anew.
unexport PYTHONDONTWRITEBYTECODE

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The stamp is younger than setup.py once the installation is whole: an interrupted one starts again. Of 20,000
# modules some 4,000 are ever imported, and Python compiles those when they are. What jobs import is compiled here:
# in their containers it would be anew each time, since nothing that they write there stays.
$(VENV)/.installed: setup.py
	@echo "installing into $(VENV): two to three minutes"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade "pip>=24"
	$(BIN)/pip install --disable-pip-version-check --progress-bar off --quiet --no-compile -e ".[dev]"
	$(BIN)/python -c "import boto3, captum.attr, matplotlib.pyplot, PIL.ImageDraw, torch._dynamo"
	touch $@

install: $(VENV)/.installed  ## the virtual environment, with everything in it

demo: install  ## the whole workflow on this machine, with its output in out/demo
	$(BIN)/scones demo --out out/demo

test: install  ## unit, functional and end-to-end tests
	$(BIN)/python -m pytest -n 3 --dist loadscope --no-loadscope-reorder

lint: install  ## ruff, mypy, and cfn-lint for the templates
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/cfn-lint workflows/*.yaml

bench: install  ## speed and memory, beside what a user would do otherwise
	$(BIN)/python -m tests.bench

clean:  ## remove what was built, not what was trained
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

.PHONY: help install demo test lint bench clean

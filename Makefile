# make run    the main job: a random hierarchy learned layer by layer
# make test   format, lint and all tests
# make bench  throughput, into benchmarks/results/
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test bench venv clean
.DEFAULT_GOAL := run

venv: $(VENV)/.complete

$(VENV)/.complete: requirements.txt setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("hierjax needs Python 3.11 or later, not %d.%d: set PYTHON=/path/to/python" % sys.version_info[:2])'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

run: venv
	$(BIN)/python -m experiments.layerwise_rhm

test: venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

bench: venv
	$(BIN)/python -m benchmarks.run

clean:
	rm -rf $(VENV)

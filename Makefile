# make run    the main job: a random hierarchy learned layer by layer
# make check  format, lint, imports, types and the quickest tests, within a minute
# make test   format, lint, imports, types and all tests
# make bench  throughput, into benchmarks/results/
# make tpu    costs on TPUs, estimated by their compiler, into benchmarks/results/
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A little more than a minute of one core.
QUICK := tests/test_imports.py tests/measure/test_label_report.py tests/measure/test_metrics.py \
    tests/models/test_conv_stack.py tests/models/test_patch_features.py \
    tests/models/test_products.py tests/models/test_residual_net.py \
    tests/models/test_residual_stack.py tests/models/test_shallow_net.py \
    tests/tasks/test_choices.py tests/tasks/test_circuits.py tests/tasks/test_grammars.py \
    tests/tasks/test_lattice.py tests/tasks/test_staircases.py tests/theory/test_brain_dump.py

.PHONY: run check lint test bench tpu venv clean
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

lint: venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/pyrefly check --output-format min-text

check: lint
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(QUICK)

test: lint
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

bench: venv
	$(BIN)/python -m benchmarks.run

# An environment of its own: libtpu takes 700 MB.
tpu:
	$(MAKE) venv VENV=.venv-tpu
	.venv-tpu/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[tpu-compile]'
	.venv-tpu/bin/python -m benchmarks.tpu

clean:
	rm -rf $(VENV) .venv-tpu

# Everything happens in a virtual environment in this checkout.
#   make run     set up what it needs, then run the main experiment
#   make test    set up everything, then run the tests
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# METEOR is a Java program. Where Java is not there, the scores that need none are chosen, and said so.
SCORER := $(if $(shell command -v java),,scorer=coco_caption_java_free)

.PHONY: setup run demo test test-fast lint wheel

setup: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt scripts/install.py
	$(PYTHON) scripts/install.py $(VENV) all
	touch $@

# The experiments need a part of it, and take the whole where it is there.
RUN_SETUP := $(if $(wildcard $(VENV)/installed),$(VENV)/installed,$(VENV)/installed-run)

$(VENV)/installed-run: pyproject.toml constraints.txt scripts/install.py
	$(PYTHON) scripts/install.py $(VENV) run
	touch $@

run: $(RUN_SETUP)
	$(if $(SCORER),@echo "No Java here: scoring without METEOR ($(SCORER)).")
	$(BIN)/python -m sandbox +experiment=internvl_coco $(SCORER) $(ARGS)

demo: $(RUN_SETUP)
	$(BIN)/python -m sandbox +experiment=demo $(ARGS)

# Parallel processes of one thread each are faster than threads.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

test: setup
	$(PYTEST) $(ARGS)

test-fast: setup
	$(PYTEST) -m "not slow" $(ARGS)

lint: setup
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy
	cd sandbox/workers && MYPYPATH=. $(abspath $(BIN))/mypy --config-file $(abspath pyproject.toml) \
		--cache-dir $(abspath .mypy_cache) --explicit-package-bases \
		$(filter-out __init__.py,$(notdir $(wildcard sandbox/workers/*.py)))
	MYPYPATH=tests/support $(BIN)/mypy tests --exclude '^tests/support/'
	cd tests/support && MYPYPATH=.:$(CURDIR) $(abspath $(BIN))/mypy --config-file $(abspath pyproject.toml) \
		--cache-dir $(abspath .mypy_cache) --explicit-package-bases *.py

wheel: setup
	$(BIN)/pip wheel --no-deps --wheel-dir dist .

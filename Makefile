# The main targets: `make demo` shows what cortado does, `make test` runs all tests.
# Both need Python 3.11 or newer with pip, and install the rest from PyPI into $(VENV), once.

PYTHON ?= python3
VENV   ?= .venv

# Installed first, at a fixed version: torch's wheels on PyPI may depend on CUDA libraries of several gigabytes, and cortado
# needs none of them. To get the CPU build: make demo TORCH="torch==2.13.0 --index-url ADDRESS", with the address of the
# CPU builds from PyTorch's installation page.
TORCH  ?= torch==2.13.0

BIN     = $(VENV)/bin
PIP     = $(BIN)/python -m pip --disable-pip-version-check --quiet
# Creates a virtual environment at $(1). Debian's Python can only create one without pip; then pip is installed into it.
venv    = $(PYTHON) -m venv $(1) 2>/dev/null || { $(PYTHON) -m venv --clear --without-pip $(1) && \
          $(PYTHON) -m pip --quiet --python $(1)/bin/python install pip; }
RUFF    = $(BIN)/ruff

.DEFAULT_GOAL := help
.PHONY: help demo test lint smoke coverage repeat format docs long prove mutants kill plans fuzz soak wheel clean triton36 precompile

help:
	@echo "make demo    compile, explain and run examples/digits"
	@echo "make test    lint, types, and the whole test suite"
	@echo "make lint    ruff and mypy only"
	@echo "make smoke   fast tests that find most mistakes"
	@echo "make coverage  the lines that the tests run"
	@echo "make repeat  all tests in 20 random orders, recorded in benchmarks/results/suite_runs.json"
	@echo "make format  format the code with ruff"
	@echo "make docs    write the generated tables in README and docs"
	@echo "make long    the slow tests"
	@echo "make prove   N=2000 random nets through every pass (tests/proof)"
	@echo "make mutants small mistakes in the compiler, each of which must make a test fail"
	@echo "make kill    KILLS=500 processes that are killed while they write (tests/kill.py)"
	@echo "make plans   PLANS=100000 native plans with mistakes in them: refused, or inside their memory (tests/plans)"
	@echo "make fuzz    all parsers on mutated files, MINUTES=1 each (tests/fuzz)"
	@echo "make soak    call, load, drop and fork nets for hours (tests/soak.py); SHARE=100 for one in a hundred"
	@echo "make wheel   build the wheel, and run the demo from it in a fresh environment"
	@echo "make triton36    Triton 3.6.0 beside the installed one, for a GPU machine that has it"
	@echo "make precompile  the kernels of benchmarks/gpu.py, compiled by both, in .precompiled"
	@echo "make clean   remove all generated files"

# The stamp depends on the files that determine what is installed; an editable install reflects all other changes.
$(VENV)/installed: pyproject.toml version.py
	@$(PYTHON) -c 'import sys; sys.exit("cortado needs Python 3.11 or newer, and this is %d.%d: set PYTHON=python3.12, say" \
	  % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@echo "setting up $(VENV) (some minutes, the first time)"
	@test -x $(BIN)/python || { $(call venv,$(VENV)); }
	@$(PIP) install $(TORCH)
	@$(PIP) install --editable ".[dev,hdf5]"
	@touch $@

demo: $(VENV)/installed
	@$(BIN)/python examples/digits/demo.py

# One torch thread per pytest worker: more threads than cores would be slower.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto

lint: $(VENV)/installed
	$(RUFF) check
	$(RUFF) format --check
	$(BIN)/mypy

format: $(VENV)/installed
	$(RUFF) check --fix
	$(RUFF) format

docs: $(VENV)/installed
	$(BIN)/python docs/tables.py

# Fast tests that find most mistakes, for the edit loop; they take seconds.
smoke: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -x -n auto $(addprefix tests/test_,$(addsuffix .py,$(SMOKE)))

SMOKE = passes graph verify text text_mistakes ops ops_windows house toy_target former_format runtime_artifact runtime_net

# The lines of the package that the tests run; subprocesses do not count. Fails below the floor in pyproject.toml, as CI
# does.
coverage: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --cov --cov-report=term:skip-covered

repeat: $(VENV)/installed
	$(BIN)/python -m tests.repeat

long: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto -m long

N    ?= 2000
JOBS ?= $(shell nproc)

prove: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.proof 0:$(N) --jobs $(JOBS)

mutants: $(VENV)/installed
	$(BIN)/python -m tests.proof.mutate --jobs $(JOBS)

# One thread, since a forked process does not have the others.
kill: KILLS ?= 500
kill: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.kill --kills $(KILLS) --record benchmarks/results/kills.json

PLANS ?= 100000

plans: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.plans --plans $(PLANS) --jobs $(JOBS) --record benchmarks/results/plans.json

MINUTES ?= 1
INPUTS  ?=
SHARE   ?= 1

# Guided by coverage where atheris has a wheel for this Python and system; by chance elsewhere.
fuzz: $(VENV)/installed
	@$(BIN)/python -c "import atheris" 2>/dev/null || $(PIP) install --editable ".[fuzz]" || true
	PYTHONPATH=.src $(BIN)/python -m tests.fuzz $(if $(INPUTS),--inputs $(INPUTS),--minutes $(MINUTES)) --jobs $(JOBS)

soak: $(VENV)/installed
	MALLOC_ARENA_MAX=1 OMP_NUM_THREADS=1 PYTHONPATH=.src $(BIN)/python -W ignore -m tests.soak --share $(SHARE) \
	  --record benchmarks/results/soak.json

# Checks that the wheel is complete: installs it with only its dependencies, outside of this checkout, runs the demo, and
# exports its net.
wheel: $(VENV)/installed
	@rm -rf dist build
	@$(PIP) wheel --no-deps --wheel-dir dist .
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && set -e && \
	  { $(call venv,$$fresh/venv); } && cp -r examples/digits "$$fresh" && wheel=$$(ls $(CURDIR)/dist/*.whl) && \
	  cd "$$fresh" && venv/bin/python -m pip --disable-pip-version-check --quiet install $(TORCH) && \
	  venv/bin/python -m pip --disable-pip-version-check --quiet install "$$wheel" && \
	  venv/bin/python digits/demo.py && \
	  venv/bin/cortado export digits/digits.prototxt digits/digits.caffemodel --to caffe --fold -o exported && \
	  venv/bin/cortado check exported.prototxt exported.caffemodel && echo "this ran from $$wheel"

# CUDA images have this version. Its compiler runs beside the installed one; its interpreter would need numpy below 2.4.
.triton36/installed: $(VENV)/installed
	@$(PIP) install --no-deps --upgrade --target .triton36 triton==3.6.0
	@touch $@

triton36: .triton36/installed

# Ten minutes on two cores. What is carried to the machine with a GPU is found there by its text and Triton's version; from
# the installed version only a few kernels, which show whether the driver takes its machine code.
precompile: .triton36/installed
	PYTHONPATH=.triton36 $(BIN)/python benchmarks/gpu.py --precompile .precompiled
	$(BIN)/python benchmarks/gpu.py --precompile .precompiled --nets tiny --batches 2

clean:
	rm -rf .triton36 .precompiled .gpu
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .src/*.egg-info *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

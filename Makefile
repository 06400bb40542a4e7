# Two commands matter: `make demo` shows cortado at work, `make test` proves it.
# Both need Python 3.11 or newer with pip, and fetch the rest from PyPI into $(VENV), once.

PYTHON ?= python3
VENV   ?= .venv

# Installed before everything else, and at one version, so that pip has nothing to choose: the newest wheel on PyPI may
# bring CUDA libraries of several gigabytes, and cortado needs none of them. Where pip would fetch those, ask for the CPU
# build by name: make demo TORCH="torch==2.13.0 --index-url ADDRESS", with the address of the CPU builds that
# PyTorch's installation page gives.
TORCH  ?= torch==2.13.0

BIN     = $(VENV)/bin
PIP     = $(BIN)/python -m pip --disable-pip-version-check --quiet
# Sets up a virtual environment at $(1). Debian's Python can make one only without pip, and pip then installs itself.
venv    = $(PYTHON) -m venv $(1) 2>/dev/null || { $(PYTHON) -m venv --clear --without-pip $(1) && \
          $(PYTHON) -m pip --quiet --python $(1)/bin/python install pip; }
RUFF    = $(BIN)/ruff

.DEFAULT_GOAL := help
.PHONY: help demo test lint smoke coverage repeat format docs long prove mutants kill fuzz soak wheel clean

help:
	@echo "make demo    compile, explain and run examples/digits"
	@echo "make test    lint, types, and the whole test suite"
	@echo "make lint    ruff and mypy alone"
	@echo "make smoke   the quickest tests that see most mistakes"
	@echo "make coverage  which lines the suite runs"
	@echo "make repeat  the whole suite in 20 random orders, recorded in benchmarks/results/suite_runs.json"
	@echo "make format  let ruff format the code"
	@echo "make docs    write the tables in README and docs that are worked out from the code"
	@echo "make long    the tests that take long"
	@echo "make prove   random nets through every pass, N=2000 of them (tests/proof)"
	@echo "make mutants mistakes put into the compiler, each of which some test has to see"
	@echo "make kill    processes killed while they write, KILLS=500 of them (tests/kill.py)"
	@echo "make fuzz    the readers of files on mutated input, MINUTES=1 each (tests/fuzz)"
	@echo "make soak    nets called, loaded, dropped and forked for hours (tests/soak.py); SHARE=100 for one in a hundred"
	@echo "make wheel   build the wheel, and run the demo from it in a fresh environment"
	@echo "make clean   remove what the other targets made"

# The stamp is renewed when what has to be installed changes; an editable install sees all other changes by itself.
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

# One thread for each of pytest's workers: torch's own threads would only wait for one another.
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

# The quickest tests that see most mistakes, for the loop of edit and run: seconds.
smoke: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -x -n auto $(addprefix tests/test_,$(addsuffix .py,$(SMOKE)))

SMOKE = passes graph verify text text_mistakes ops ops_windows house toy_target former_format runtime_artifact runtime_net

# Which lines of the package the suite runs; what runs in processes of their own does not count. Fails below the floor
# in pyproject.toml, as CI does.
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

# One thread, since the copy of a process has none of its other ones.
kill: KILLS ?= 500
kill: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.kill --trials $(KILLS) --record benchmarks/results/kills.json

MINUTES ?= 1
SHARE   ?= 1

# Guided by coverage where atheris has a wheel for this Python and system; by chance elsewhere.
fuzz: $(VENV)/installed
	@$(BIN)/python -c "import atheris" 2>/dev/null || $(PIP) install --editable ".[fuzz]" || true
	PYTHONPATH=.src $(BIN)/python -m tests.fuzz --minutes $(MINUTES) --jobs $(JOBS)

soak: $(VENV)/installed
	OMP_NUM_THREADS=1 PYTHONPATH=.src $(BIN)/python -W ignore -m tests.soak --share $(SHARE) \
	  --record benchmarks/results/soak.json

# Proves that the wheel is whole: it is installed, with what it asks for and nothing else, far from this checkout.
wheel: $(VENV)/installed
	@rm -rf dist build
	@$(PIP) wheel --no-deps --wheel-dir dist .
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && set -e && \
	  { $(call venv,$$fresh/venv); } && cp -r examples/digits "$$fresh" && wheel=$$(ls $(CURDIR)/dist/*.whl) && \
	  cd "$$fresh" && venv/bin/python -m pip --disable-pip-version-check --quiet install $(TORCH) && \
	  venv/bin/python -m pip --disable-pip-version-check --quiet install "$$wheel" && \
	  venv/bin/python digits/demo.py && echo "this ran from $$wheel"

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .src/*.egg-info *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

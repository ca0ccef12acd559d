# TetherDB. `make` lists what there is. Everything is installed into this folder; see `clean` for where.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Compiles the protocol of etcd; it is installed with the development tools.
export PROTOC := $(CURDIR)/$(BIN)/protoc
# Released code with symbols: they tell SQLite's instructions from ours, and give functions their names.
SYMBOLS := target/symbols
# A second interpreter to test the same wheel on, where there is one; empty: none.
PYTHON313 ?= $(shell scripts/find-python.sh 3.13)

# Tests at a time; many of them wait for a server most of the time.
WORKERS ?= 4
# What depends on the interpreter. The rest is the engine's, the servers', or of the files of the package.
ON_313 := tests/contract tests/asynchronous tests/process tests/integrations tests/cli tests/chaos/test_exit.py tests/chaos/test_kill.py

# What is formatted and linted. Not all of docs: ruff would format the blocks of the pages, too.
PYTHON_FILES := python tests examples benchmarks scripts docs/conf.py docs/extensions

.DEFAULT_GOAL := help
.PHONY: help demo test test-rust test-python test-313 test-313-ready wheel-dev test-installed lint types docs format dev \
        install wheel test-wheel licenses deny audit bench bench-guard flame crash chaos json fuzz schema clean

help:  ## List the targets.
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | sort | expand -t 16

demo: $(VENV)/installed  ## Set everything up and run the main job on the local backend.
	$(BIN)/python examples/demo.py

test: lint types docs test-rust test-python test-313 test-installed  ## Set everything up and run all tests, lints and type checks.
	@echo "make test: all passed"

test-rust: $(VENV)/ready  ## The engine's own tests, without Python; then its handshakes under many schedules.
	cargo test
	cargo test --quiet --features shuttle --lib handshake

test-python: dev  ## The tests of the Python package, against real servers.
	$(BIN)/pytest -n $(WORKERS)

wheel-dev: dev
	@rm -rf target/wheels-dev
	$(BIN)/maturin build --profile dev --out target/wheels-dev --quiet

ifneq ($(PYTHON313),)
test-313-ready: $(VENV)313/ready wheel-dev
	$(VENV)313/bin/python -m pip install --quiet --no-deps --force-reinstall target/wheels-dev/*.whl

test-313: test-313-ready  ## The same module as a wheel on Python 3.13, where it is installed: what depends on the interpreter.
	$(VENV)313/bin/pytest -n $(WORKERS) $(ON_313)
else
test-313:
	@echo "test-313: skipped, since no Python 3.13 was found (set PYTHON313=/path/to/python3.13)"
endif

# What `test-python` and `test-313` run on that same module need not be run again.
test-installed: wheel-dev  ## A wheel in empty environments of 3.11 to 3.13; on 3.12 the contract of the local file, too.
	scripts/test-wheel.sh target/wheels-dev/*.whl 3.10 $(BIN)/python
	scripts/test-wheel.sh target/wheels-dev/*.whl 3.11 $(BIN)/python
	scripts/test-wheel.sh target/wheels-dev/*.whl 3.12 $(BIN)/python $(LOCAL)
	scripts/test-wheel.sh target/wheels-dev/*.whl 3.13 $(BIN)/python
LOCAL := -q -n $(WORKERS) -k "not etcd and not dynamodb"

wheel: $(VENV)/ready  ## Build the wheel for this machine, out of the source distribution, and both into dist.
	@rm -rf dist
	CARGO_TARGET_DIR="$(CURDIR)/target" $(BIN)/maturin build --release --sdist --out dist --quiet
	@ls -l dist

WHEEL ?= dist/*.whl
test-wheel: $(if $(filter command line,$(origin WHEEL)),$(VENV)/ready,wheel)  ## That wheel, or WHEEL=path, in empty environments of 3.11 to 3.13: the whole contract suite.
	scripts/test-wheel.sh $(WHEEL) 3.10 $(BIN)/python
	scripts/test-wheel.sh $(WHEEL) 3.11 $(BIN)/python -n $(WORKERS)
	scripts/test-wheel.sh $(WHEEL) 3.12 $(BIN)/python -n $(WORKERS)
	scripts/test-wheel.sh $(WHEEL) 3.13 $(BIN)/python -n $(WORKERS)

licenses: $(VENV)/ready  ## Write THIRD_PARTY_LICENSES anew; needed when Cargo.lock changes.
	$(BIN)/python scripts/licenses.py

deny:  ## Licenses and sources of all crates, against deny.toml; needs cargo-deny.
	cargo deny check bans licenses sources

audit: $(VENV)/ready  ## Known vulnerabilities in crates and tools; needs cargo-deny, pip-audit and the network.
	cargo deny check advisories
	pip-audit --path $(VENV)/lib/python3.*/site-packages

lint: $(VENV)/ready  ## Formatters and linters, as checks.
	cargo fmt --check
	PYO3_PYTHON="$(CURDIR)/$(BIN)/python" cargo clippy --all-targets --features python --quiet -- -D warnings
	$(BIN)/ruff format --check $(PYTHON_FILES)
	$(BIN)/ruff check $(PYTHON_FILES)
	$(BIN)/python scripts/licenses.py --check
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/zizmor --offline --quiet .github

types: dev  ## mypy, pyright, and the stubs against the built module.
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/python -m mypy.stubtest TetherDB

docs: $(VENV)/ready  ## Build the documentation as a site, into target/docs; whatever is wrong with it is an error.
	@rm -rf target/docs
	$(BIN)/sphinx-build -W --keep-going -q -E -c docs -b html . target/docs

format: $(VENV)/ready  ## Format everything.
	cargo fmt
	$(BIN)/ruff format $(PYTHON_FILES)
	$(BIN)/ruff check --fix $(PYTHON_FILES)

SCHEMA := python/TetherDB/config.schema.json
schema: dev  ## Write the JSON Schema of the configuration, out of src/config/keys.rs, into the package.
	$(BIN)/python -c 'from TetherDB._tetherdb import config_schema; print(config_schema(), end="")' > $(SCHEMA).new
	mv $(SCHEMA).new $(SCHEMA)

dev: $(VENV)/ready  ## Build the module for development into .venv.
	$(BIN)/maturin develop --quiet
	@rm -f $(VENV)/installed

$(VENV)-bench/installed bench: export PROTOC := $(CURDIR)/$(VENV)-bench/bin/protoc
# The peers have an environment of their own: some of them insist on older versions of what the tests use.
bench: $(VENV)-bench/installed  ## Compare with peers; QUICK=1: less of all; ONLY="local etcd": a part, see benchmarks/README.md.
	cargo build --release --quiet --example raw_sqlite --example raw_etcd --example raw_dynamodb
	$(VENV)-bench/bin/python benchmarks/run.py --wheel target/bench/*.whl $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY))

bench-guard: $(SYMBOLS)/ready  ## Count the instructions of a message and compare with the baseline; needs valgrind.
	PYTHONPATH="$(CURDIR)/$(SYMBOLS)/site" $(BIN)/python benchmarks/guard.py $(if $(UPDATE),--update)

flame: $(SYMBOLS)/ready  ## Draw the flame graphs of docs/performance; needs perf and inferno.
	PYTHONPATH="$(CURDIR)/$(SYMBOLS)/site" $(BIN)/python benchmarks/profiles.py

crash: dev  ## The long crash tests of the local file: 200 SIGKILLs and 200 exits in the middle of work.
	TETHERDB_CRASH_ROUNDS=200 $(BIN)/pytest tests/process -k "kill or exit" --timeout 1800

# How often each thing happens; the seeds are printed, and TETHERDB_CHAOS_SEED plays one again.
CHAOS := TETHERDB_CHAOS_SHARDS=4 TETHERDB_CHAOS_ROUNDS_KILL=1000 TETHERDB_CHAOS_ROUNDS_EXIT=500 \
         TETHERDB_CHAOS_ROUNDS_ETCD=200 TETHERDB_CHAOS_ROUNDS_DYNAMODB=200 TETHERDB_CHAOS_ROUNDS_DISK=50
chaos: $(if $(PYTHON313),test-313-ready)  ## The chaos suite at length: kills, exits, faults of servers and disks.
	$(MAKE) dev
	$(CHAOS) $(BIN)/pytest -n $(WORKERS) -rP --show-capture=stdout tests/chaos
ifneq ($(PYTHON313),)
	$(CHAOS) $(VENV)313/bin/pytest -n $(WORKERS) -rP --show-capture=stdout tests/chaos/test_exit.py
endif

json: dev  ## Compare what is stored with json.dumps, byte for byte, for 100,000 generated values.
	TETHERDB_JSON_VALUES=100000 $(BIN)/pytest -s tests/contract/test_values_written.py -k great_many --timeout 1800

fuzz: $(VENV)/ready  ## Fuzz the reader of journals for five minutes; needs cargo-fuzz and a nightly toolchain.
	cd fuzz && cargo +nightly fuzz run journal -- -max_total_time=300

clean:  ## Remove what was built and installed.
	rm -rf target dist $(VENV) $(VENV)313 $(VENV)-bench $(VENV)-wheel* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -f python/TetherDB/_tetherdb.*.so
	find python tests examples benchmarks -name __pycache__ -prune -exec rm -rf {} +

# The environment with the development tools.
$(VENV)/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "TetherDB needs Python 3.11 or newer; set PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --group dev --group peers
	@touch $@

$(VENV)313/ready: pyproject.toml
	$(PYTHON313) -m venv $(VENV)313
	$(VENV)313/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(VENV)313/bin/python -m pip install --quiet --group dev --group peers
	@touch $@

# The package as users install it, built for release.
SOURCES := $(shell find src python/TetherDB python/pytest_tetherdb -name '*.rs' -o -name '*.py' -o -name '*.pyi' -o -name '*.json') Cargo.toml Cargo.lock pyproject.toml
install: $(VENV)/installed  ## Install the package into .venv as users would, built for release.
$(VENV)/installed: $(VENV)/ready $(SOURCES)
	@echo "Building TetherDB for release (the first time takes a few minutes) ..."
	CARGO_TARGET_DIR=target $(BIN)/python -m pip install --quiet --force-reinstall --no-deps .
	@touch $@

$(VENV)-bench/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "TetherDB needs Python 3.11 or newer; set PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)-bench
	$(VENV)-bench/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(VENV)-bench/bin/python -m pip install --quiet --group bench
	@touch $@

$(VENV)-bench/installed: $(VENV)-bench/ready $(SOURCES)
	@echo "Building TetherDB for release (the first time takes a few minutes) ..."
	@rm -rf target/bench
	CARGO_TARGET_DIR=target $(VENV)-bench/bin/python -m pip wheel --quiet --no-deps --wheel-dir target/bench .
	$(VENV)-bench/bin/python -m pip install --quiet --force-reinstall --no-deps target/bench/*.whl
	@touch $@

$(SYMBOLS)/ready: $(VENV)/ready $(SOURCES)
	@echo "Building TetherDB for release, with symbols (the first time takes a few minutes) ..."
	@rm -rf $(SYMBOLS)
	CARGO_PROFILE_RELEASE_STRIP=none CARGO_PROFILE_RELEASE_DEBUG=line-tables-only \
	  $(BIN)/maturin build --release --out $(SYMBOLS)/wheel --quiet
	$(BIN)/python -m pip install --quiet --no-deps --target $(SYMBOLS)/site $(SYMBOLS)/wheel/*.whl
	@touch $@

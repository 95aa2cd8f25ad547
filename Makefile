# Lodestore: what can be done. `make` alone lists the targets.
# Needs Rust, Python >= 3.10 and make; everything else is installed into .venv* and target/.

PYTHON ?= python3
VENV := .venv
TEST_VENV := .venv-test
BENCH_VENV := .venv-bench
PIP_FLAGS := --quiet --disable-pip-version-check
PYTHON_SOURCES := $(shell find python/lodestore -name '*.py' -o -name '*.pyi')
RUST_SOURCES := $(shell find crates -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock
# Examples are tests; these are measurements.
MEASUREMENTS := blob_speed bare_driver bare_store
EXAMPLES := $(filter-out $(MEASUREMENTS),$(basename $(notdir $(wildcard crates/lodestore/examples/*.rs))))

.DEFAULT_GOAL := help
.PHONY: help demo test test-rust test-python lint format bench bench-quick docs cli clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

demo: $(VENV)/.installed ## build in release mode, install with the demo extra, and run the demo on real recordings
	$(VENV)/bin/python examples/grasshopper.py

$(VENV)/bin/python:
	$(PYTHON) scripts/check_python.py
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install $(PIP_FLAGS) --upgrade pip "maturin>=1.8,<2"

# A real installation, not an editable one: the sources then belong to the tests, which build in the dev profile.
$(VENV)/.installed: $(VENV)/bin/python pyproject.toml $(RUST_SOURCES) $(PYTHON_SOURCES)
	@echo "Building the extension in release mode: some minutes the first time."
	@rm -rf $(VENV)/wheel
	$(VENV)/bin/maturin build --release --strip --quiet --interpreter $(VENV)/bin/python --out $(VENV)/wheel
	$(VENV)/bin/python -m pip install $(PIP_FLAGS) "$$(echo $(VENV)/wheel/*.whl)[demo]"
	$(VENV)/bin/python -m pip install $(PIP_FLAGS) --force-reinstall --no-deps $(VENV)/wheel/*.whl
	@touch $@

# Servers of their own for the tests; a test that finds none is left out, loudly.
BACKENDS ?= sqlite postgresql mysql
SERVERS := $(PYTHON) scripts/with_servers.py

test: ## everything the tests need, then all Rust and Python tests
	$(PYTHON) scripts/check_python.py
	$(SERVERS) $(MAKE) test-rust test-python

test-rust:
	@if cargo nextest --version >/dev/null 2>&1; then \
		cargo nextest run -p lodestore -p lodestore-cli --no-fail-fast; \
	else \
		cargo test -p lodestore -p lodestore-cli --lib --bins --tests --no-fail-fast; \
	fi
	@for backend in $${LODE_TEST_POSTGRESQL:+postgresql} $${LODE_TEST_MYSQL:+mysql}; do echo "Rust tests on $$backend"; \
		LODE_TEST_BACKEND=$$backend cargo test -p lodestore --no-fail-fast --test table --test query --test schema_declare || exit 1; done
	cargo test -p lodestore --doc --quiet
	@mkdir -p target; for example in $(EXAMPLES); do \
		echo "example $$example"; cargo run --quiet -p lodestore --example $$example > target/example-$$example.log 2>&1 \
			|| { cat target/example-$$example.log; exit 1; }; \
	done

test-python: $(TEST_VENV)/.installed $(BENCH_VENV)/.installed
	@for backend in $(BACKENDS); do echo "Python tests on $$backend"; \
		LODE_TEST_BACKEND=$$backend LODE_TEST_PEER=$(CURDIR)/$(BENCH_VENV)/bin/python \
			$(TEST_VENV)/bin/python -m pytest -q || exit 1; done

$(TEST_VENV)/bin/python:
	$(PYTHON) scripts/check_python.py
	$(PYTHON) -m venv $(TEST_VENV)
	$(TEST_VENV)/bin/python -m pip install $(PIP_FLAGS) --upgrade pip "maturin>=1.8,<2"

# The extension of the tests is built in the dev profile, which it shares with the Rust tests.
$(TEST_VENV)/.installed: $(TEST_VENV)/bin/python pyproject.toml $(RUST_SOURCES)
	PATH="$(CURDIR)/$(TEST_VENV)/bin:$$PATH" VIRTUAL_ENV="$(CURDIR)/$(TEST_VENV)" $(TEST_VENV)/bin/maturin develop --quiet --extras test
	@touch $@

lint: $(TEST_VENV)/bin/python ## formatting and static checks
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc -p lodestore --no-deps --quiet
	$(TEST_VENV)/bin/python -m pip install $(PIP_FLAGS) "ruff>=0.14,<0.16"
	$(TEST_VENV)/bin/ruff check python examples benches scripts
	$(TEST_VENV)/bin/ruff format --check python examples benches scripts

format: $(TEST_VENV)/bin/python ## format all sources
	cargo fmt --all
	$(TEST_VENV)/bin/python -m pip install $(PIP_FLAGS) "ruff>=0.14,<0.16"
	$(TEST_VENV)/bin/ruff check --fix python examples benches scripts
	$(TEST_VENV)/bin/ruff format python examples benches scripts

bench: $(VENV)/.bench $(BENCH_VENV)/.installed ## the same workloads on Lodestore and on the reference, with ratios
	cargo build --quiet --release -p lodestore --example bare_driver --example bare_store
	$(VENV)/bin/python benches/run.py --reference $(BENCH_VENV)/bin/python --driver target/release/examples/bare_driver \
		--bare-store target/release/examples/bare_store

bench-quick: $(VENV)/.bench $(BENCH_VENV)/.installed ## a shorter bench, to see that it runs
	$(VENV)/bin/python benches/run.py --reference $(BENCH_VENV)/bin/python --quick

# Lodestore's side: what users would have, and the frames that the bench fetches into.
$(VENV)/.bench: $(VENV)/.installed
	$(VENV)/bin/python -m pip install $(PIP_FLAGS) "polars>=1" "pyarrow>=16"
	@touch $@

# The reference is a benchmark peer and an oracle, in development only; it lives in an environment of its own.
$(BENCH_VENV)/.installed:
	$(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install $(PIP_FLAGS) --upgrade pip
	$(BENCH_VENV)/bin/python -m pip install $(PIP_FLAGS) "datajoint==2.3.5" psycopg2-binary pyarrow polars s3fs setuptools
	@touch $@

docs: ## the API documentation of the crate, in target/doc
	cargo doc -p lodestore --no-deps

cli: ## build the command line `lode` in release mode
	cargo build --release -p lodestore-cli
	@echo target/release/lode

clean: ## remove environments and build output
	rm -rf $(VENV) $(TEST_VENV) $(BENCH_VENV) target

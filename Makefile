# Everything a fresh machine needs: python3 (3.11 or newer), pip and make. `make demo` and `make test` install the rest.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
DEMO   ?= $(CURDIR)/.demo

.PHONY: install demo demo-stop test test-servers faults bench lint lock clean

install: $(VENV)/.installed

$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	# As an installed package has it: where PYTHONDONTWRITEBYTECODE is set every command would compile anew.
	$(BIN)/python -m compileall -q bookcli worker
	touch $@

demo: install
	@BOOKCLI_HOME="$(DEMO)" $(BIN)/bookcli demo -o table
	@echo 'In this shell first:  export PATH="$(abspath $(BIN)):$$PATH" BOOKCLI_HOME="$(DEMO)"'

demo-stop: install
	@BOOKCLI_HOME="$(DEMO)" $(BIN)/bookcli down

test: install test-servers
	$(BIN)/python -m pytest -n auto --maxprocesses 4
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --pooled tests/core tests/cli

# What breaks while desks are booking: node death, frozen primaries, killed pools. Takes some minutes.
faults: install test-servers
	$(BIN)/python -m pytest -m soak tests/faults tests/worker tests/tui

# The suite runs on PostgreSQL 15 as well as on the embedded 18, and starts a whole cluster (tests/faults/topology.py);
# Debian's packages bring what is missing where they may be installed.
SERVERS := postgresql-15:/usr/lib/postgresql/15/bin/postgres pgbouncer:/usr/sbin/pgbouncer haproxy:/usr/sbin/haproxy \
  etcd-server:/usr/bin/etcd redis-server:/usr/bin/redis-server
test-servers:
	@missing=$$(for one in $(SERVERS); do [ -x "$${one#*:}" ] || echo "$${one%%:*}"; done); \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ]; then \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing; fi

bench: install
	$(BIN)/python -m tests.bench

lint: install
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

# Needs uv. The lock names versions and hashes, no registry.
lock:
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --all-extras \
	  --python-version 3.11 pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) .demo

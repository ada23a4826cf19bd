# make run    start everything on http://localhost:8000
# make test   install what tests need and run them all
# make test-live  call the real providers whose keys are in the environment; they only read
# make lint   style, types, import contracts, templates, spelling, migrations
# make bench  speed: receiving against pgbench and a plain view, reading at 2 M rows (needs PostgreSQL, pgbench, wrk)
# make faults the long exercises: Redis frozen, 100,000 forged posts, kill -9 (needs PostgreSQL, redis-server; an hour)
# make fuzz   every operation of the API document with what nobody would think of (schemathesis; some twenty minutes)
# make assets rebuild static/dist from frontend/ (needs Node; the result is committed)
# make messages  gather the texts of the pages into config/locale (needs gettext; docs/translation.md)
# make pictures  take those of the docs anew, of the running system (needs Chromium)

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/pip --disable-pip-version-check install --quiet --require-hashes

.PHONY: run test test-live lint bench faults fuzz format assets messages pictures lock clean
.DEFAULT_GOAL := run

run: $(VENV)/.run
	@$(BIN)/python manage.py up $(if $(PORT),--port $(PORT))

test: $(VENV)/.dev
	@$(BIN)/python -m tests

test-live: $(VENV)/.dev
	LIVE=1 $(BIN)/python -m pytest -q -s -p no:xdist -p no:randomly tests/live/live_*.py

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml config healthchecks integrations oauth webhooks
	git ls-files -z -- 'templates/*.html' | xargs -0 $(BIN)/djade --check --target-version 5.2
	git ls-files -z -- '*.py' ':!*/migrations/*' | xargs -0 $(BIN)/django-upgrade --target-version 5.2
	$(BIN)/typos
	DATA_DIR=$$(mktemp -d) $(BIN)/python manage.py makemigrations --check --dry-run
	DATA_DIR=$$(mktemp -d) $(BIN)/python manage.py check --fail-level WARNING
	DATA_DIR=$$(mktemp -d) $(BIN)/python manage.py spectacular --validate --fail-on-warn --file /dev/null

format: $(VENV)/.dev
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format --quiet .
	git ls-files -z -- 'templates/*.html' | xargs -0 $(BIN)/djade --target-version 5.2

assets:
	cd frontend && npm ci --ignore-scripts --no-audit --no-fund && npm run --silent build

bench: $(BIN)/python
	$(BIN)/python -m benchmarks $(WHAT)

faults: $(VENV)/.dev
	$(BIN)/python -m pytest -q -s -p no:xdist -p no:randomly tests/faults/fault_$(or $(WHAT),*).py

fuzz: $(VENV)/.dev
	$(BIN)/python -m tests.fuzz --examples $(or $(EXAMPLES),10) --seconds $(or $(SECONDS),300) --only "$(ONLY)"

messages: $(VENV)/.dev
	DATA_DIR=$$(mktemp -d) $(BIN)/python manage.py makemessages --locale=$(or $(LANGUAGE),en) --no-location --no-wrap \
	  --ignore=.venv --ignore=tests --ignore=frontend

pictures: $(VENV)/.dev
	$(BIN)/python -m tests.pictures

# The locks carry hashes and no hosts; `uv` writes them (https://docs.astral.sh/uv).
lock:
	uv pip compile -q --universal --python-version 3.11 pyproject.toml --generate-hashes --no-header \
	  --no-emit-index-url --no-emit-find-links -o requirements.txt
	uv pip compile -q --universal --python-version 3.11 pyproject.toml --group test --group lint --generate-hashes \
	  --no-header --no-emit-index-url --no-emit-find-links -c requirements.txt -o requirements-dev.txt

clean:
	rm -rf $(VENV) var

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "Python 3.11, 3.12 or 3.13 is needed; make run PYTHON=python3.12"; exit 1; }
	@echo "Setting up $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements.txt | $(BIN)/python
	@echo "Installing (once; a minute or two) ..."
	@$(PIP) -r requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt | $(BIN)/python
	@echo "Installing what tests and lints need (once) ..."
	@$(PIP) -r requirements-dev.txt
	@touch $@ $(VENV)/.run

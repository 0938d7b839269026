# make demo   a chat room in two tabs: needs Python 3.11 or newer, nothing else
# make test   everything that is checked, with the set-up it needs
# make lint   the static checks alone
# make bench  the micro-benchmarks, then the fan-out compared with the bare server
# make js     rebuilds the JavaScript under core/headrace/static/

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
# The newest other interpreter runs the unit tests too.
NEWEST ?= $(shell for p in python3.14 python3.13 python3.12; do for d in "" $(HOME)/.pyenv/versions/*/bin/; do \
	$$d$$p -c 'pass' 2>/dev/null && echo $$d$$p && break 2; done; done)
BIN := .venv/bin
NPM := npm --prefix js

.PHONY: demo test test-setup lint unit unit-newest js js-check browser bench clean

demo: .venv/.installed
	@$(BIN)/headrace serve --demo

.venv/.installed: setup.cfg pyproject.toml
	@test -n "$(PYTHON)" || { echo "Headrace needs Python 3.11 or newer; set PYTHON=/path/to/python3" >&2; exit 1; }
	@test -x $(BIN)/python || { echo "Making the virtual environment in .venv"; $(PYTHON) -m venv .venv; }
	@echo "Installing Headrace into .venv"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/.installed-dev: .venv/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

test: test-setup lint unit unit-newest js-check browser

test-setup: .venv/.installed-dev
	tests/setup

lint: .venv/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: .venv/.installed-dev js/node_modules/.installed
	$(BIN)/python -m pytest

# The unit tests are those of the layers that need no network: tests/unit/.
unit-newest:
ifneq ($(NEWEST),)
	@test -x .venv-newest/bin/python || $(NEWEST) -m venv .venv-newest
	@.venv-newest/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	.venv-newest/bin/python -m pytest tests/unit
endif

js/node_modules/.installed: js/package-lock.json
	$(NPM) ci --no-audit --no-fund
	@touch $@

js: js/node_modules/.installed
	$(NPM) run build

js-check: js/node_modules/.installed
	$(NPM) run check

browser: .venv/.installed-dev js/node_modules/.installed
	$(NPM) run browser

bench: .venv/.installed-dev
	$(BIN)/python -m pytest bench/micro --benchmark-only --benchmark-disable-gc -o addopts=
	$(BIN)/python bench/system/fanout.py

clean:
	rm -rf .venv .venv-newest js/node_modules build dist .mypy_cache .ruff_cache

# Needs Python 3.12 or newer and nothing else: uv is bootstrapped, PostgreSQL comes with the packages.
SHELL := /bin/bash
STATE := .tollhouse
UV := $(shell command -v uv 2>/dev/null || echo $(STATE)/tools/bin/uv)
PYTHON := $(shell for v in 3.13 3.12 3.14; do p=$$(command -v python$$v 2>/dev/null) && $$p -c '' 2>/dev/null && echo $$p && break; done || true)
PYTHON := $(or $(PYTHON),$(shell python3 -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null && command -v python3))
export UV_PYTHON ?= $(PYTHON)
export PYTHONUNBUFFERED = 1

.PHONY: help up test bench clean sync

help: ## Show what can be made.
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

up: sync ## Set up and run: database, server, worker, local model. PORT=8000.
	@exec .venv/bin/python -m deploy.up

test: sync ## Set up and run every check.
	@scripts/checks

bench: sync ## Measure: floor, gate and ledger in one run (needs wrk).
	@.venv/bin/python -m tests.load.bench

clean: ## Remove what make made, the embedded database included.
	rm -rf $(STATE) .venv staticfiles

sync: $(UV)
	@if [ -z "$(UV_PYTHON)" ]; then echo "No Python 3.12 or newer was found; install one (or set UV_PYTHON to it)." >&2; exit 1; fi
	@mkdir -p $(STATE)
	@$(UV) sync --quiet --frozen --extra local || { echo "The packages could not be installed; see the lines above." >&2; exit 1; }

$(STATE)/tools/bin/uv:
	@echo "Installing uv into $(STATE)/tools …"
	@python=$${UV_PYTHON:-python3}; $$python -m venv $(STATE)/tools && $(STATE)/tools/bin/pip install --quiet uv \
		|| { echo "uv could not be installed; see https://docs.astral.sh/uv for other ways." >&2; exit 1; }

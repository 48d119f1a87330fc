# Needs Python 3.12 or newer and nothing else: uv is bootstrapped, PostgreSQL comes with the packages.
SHELL := /bin/bash
STATE := .tollhouse
UV := $(shell command -v uv 2>/dev/null || echo $(STATE)/tools/bin/uv)
# An interpreter's version and not its path, so that an environment made with another one of that version stays.
PYTHON := $(shell for v in 3.13 3.12 3.14 3; do python$$v -c 'import sys; v = sys.version_info; \
	v < (3, 12) and sys.exit(1); print(f"{v[0]}.{v[1]}")' 2>/dev/null && break; done)
export UV_PYTHON ?= $(PYTHON)
export PYTHONUNBUFFERED = 1
# Where this is set, every process compiles anew all that it imports, and takes three times as long to start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help up test helpdesk bench chaos screenshots clean sync

help: ## Show what can be made.
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

up: sync ## Set up and run: database, server, worker, local model. PORT=8000.
	@exec .venv/bin/python -m deploy.up

test: sync ## Set up and run every check.
	@scripts/checks

helpdesk: ## Set up and run the example, a helpdesk that uses the gate in process. PORT=8010.
	@$(MAKE) --no-print-directory -C examples/helpdesk up

bench: sync ## Measure: floor, gate and ledger in one run (needs wrk).
	@.venv/bin/python -m tests.load.bench

chaos: sync ## Kill servers and database under load, then check the books. ROUNDS=20, SEED=N repeats a run.
	@.venv/bin/python -m tests.load.chaos --rounds $(or $(ROUNDS),20) $(addprefix --seed ,$(SEED))

screenshots: sync ## Make the pictures of docs/screenshots.md anew, on demo data (needs Chromium).
	@.venv/bin/python scripts/screenshots.py

clean: ## Remove what make made, the embedded database included.
	rm -rf $(STATE) .venv staticfiles

sync: $(UV)
	@if [ -z "$(UV_PYTHON)" ]; then echo "No Python 3.12 or newer was found; install one (or set UV_PYTHON to its version)." >&2; exit 1; fi
	@mkdir -p $(STATE)
	@$(UV) sync --quiet --frozen --extra local || { echo "The packages could not be installed; see the lines above." >&2; exit 1; }

$(STATE)/tools/bin/uv:
	@echo "Installing uv into $(STATE)/tools …"
	@python=python$(UV_PYTHON); command -v $$python >/dev/null || python=python3; $$python -m venv $(STATE)/tools && $(STATE)/tools/bin/pip install --quiet uv \
		|| { echo "uv could not be installed; see https://docs.astral.sh/uv for other ways." >&2; exit 1; }

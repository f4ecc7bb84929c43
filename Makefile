# Each target sets up what it needs, once.
PYTHON ?= python3
DAG ?= generate_soundtrack

VENV := .venv
READY := $(VENV)/ready
CLUSTER_READY := $(VENV)/cluster-ready
BIN := $(VENV)/bin
UV := $(shell uv --version >/dev/null 2>&1 && echo uv || echo $(BIN)/uv)
INSTALL := $(UV) pip install --quiet --python $(BIN)/python --constraint constraints.txt
PUBLIC := $(addprefix airflow_provider_mps/,operators sensors transfers/mps_to_object_storage.py hooks triggers links \
	api/request/soundtrack.py api/errors.py api/tasks/family.py api/tasks/status.py emulator/web/server.py emulator/service/guarded.py emulator/faults.py emulator/pytest_plugin.py)
CHECK_PYTHON := import sys; (3, 11) <= sys.version_info < (3, 15) or sys.exit( \
	"Python 3.11 to 3.14 is needed, and $(PYTHON) is " + sys.version.split()[0] + \
	". Name another one: make PYTHON=python3.12")

.PHONY: demo test e2e screenshots compat chromium clients node cluster servers fuzz live lint docs dist ui constraints clean

demo: $(READY)
	$(BIN)/python -m scripts.demo $(DAG)

# Most tests wait rather than compute: more processes than cores. What shares something costly is a group (xdist_group).
test: $(READY)
	$(BIN)/python -m pytest -n 8 --dist loadgroup

# Two whole Airflows at once: each waits more than it computes. The tests of a file share one.
e2e: $(READY)
	$(BIN)/python -m pytest -m e2e -n 2 --dist loadfile

# The pictures of Airflow's web page and the emulator's in the docs, and what the emulator makes.
screenshots: $(READY)
	MPS_SCREENSHOTS=docs/images $(BIN)/python -m pytest -m e2e tests/emulator/test_page.py tests/e2e/test_web_page.py \
		tests/e2e/test_results_page.py

# Each Airflow from 2.11 on, or those of RELEASES="2.11.2 3.0.6".
compat: $(READY)
	$(BIN)/python -m scripts.compat $(RELEASES)

# What `make e2e` plays the results in: as root, on Debian.
chromium:
	@command -v chromium >/dev/null || { apt-get -qq update && \
		DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends chromium >/dev/null; }

# Tencent's own clients against the emulator, in build/clients: tccli brings an SDK of its own.
TCCLI := 3.1.189.1
NODE_SDK := tencentcloud-sdk-nodejs-mps@4.1.305 tencentcloud-sdk-nodejs-common@4.1.220
clients: $(READY) node
	@test -x build/clients/venv/bin/tccli || { \
		$(PYTHON) -m venv build/clients/venv && build/clients/venv/bin/python -m pip install --quiet tccli==$(TCCLI); }
	@npm install --silent --no-audit --no-fund --prefix build/clients $(NODE_SDK)
	$(BIN)/python -m pytest -m clients tests/clients

# As root, on Debian, where there is none.
node:
	@{ command -v node && command -v npm; } >/dev/null || { apt-get -qq update && \
		DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends nodejs npm >/dev/null; }

# A whole cluster under fire: about eight minutes.
cluster: servers $(CLUSTER_READY)
	$(BIN)/python -m pytest -m cluster tests/cluster

# PostgreSQL and Redis for `make cluster`: as root, on Debian. The services of the packages are not started.
servers:
	@{ ls /usr/lib/postgresql/*/bin/postgres && command -v redis-server; } >/dev/null 2>&1 || { \
		policy=/usr/sbin/policy-rc.d; test -e $$policy || { \
			printf '#!/bin/sh\nexit 101\n' >$$policy; chmod +x $$policy; trap "rm $$policy" EXIT; }; \
		apt-get -qq update && DEBIAN_FRONTEND=noninteractive \
			apt-get -qq install --no-install-recommends postgresql redis-server >/dev/null; }

# Other values and other lives of a task instance (1,000) than `make test` tries, and many more: about half an hour.
fuzz: $(READY)
	MPS_FUZZ_EXAMPLES=5000 $(BIN)/python -m pytest tests/promises/test_bad_input.py
	MPS_FUZZ_EXAMPLES=250 $(BIN)/python -m pytest tests/promises/test_paid_once_at_random.py

# A real account, whose tasks are billed: CONTRIBUTING.md. The tests forget all AIRFLOW_... variables, so that no other
# target finds the account's keys.
live: $(READY)
	@MPS_LIVE_CONNECTION="$$AIRFLOW_CONN_TENCENT_MPS_DEFAULT" \
		$(BIN)/python -m pytest tests/live -m live --live $(if $(CREATES),--live-creates=$(CREATES))

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell

# The site, in build/site. The docs link to each other, and to the code, by their paths in the repository; so the
# pages are those paths. Fails on a broken link or anchor, and on a public name without a docstring.
docs: $(READY)
	$(INSTALL) --editable '.[docs]'
	$(BIN)/ruff check --select D101,D102,D103 $(PUBLIC)
	@rm -rf build/pages && mkdir -p build/pages
	@ln -s $(addprefix ../../,$(wildcard *.md) LICENSE docs airflow_provider_mps dags_examples) build/pages/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The wheel and the sdist, in dist/, looked at and tried.
dist: $(READY)
	$(INSTALL) --editable '.[release]'
	@rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/twine check --strict dist/*
	$(BIN)/python -m pytest -m dist tests/package

# With the examples, or make ui DAGS=FOLDER; RUNNING_TASKS=N: MPS runs so many tasks of a model at once.
ui: $(READY)
	$(BIN)/python -m scripts.ui $(if $(DAGS),--dags=$(DAGS)) $(if $(RUNNING_TASKS),--running-tasks=$(RUNNING_TASKS))

# Takes the newest versions of everything; `make test e2e` shows whether they work.
constraints: $(READY)
	$(UV) pip compile --quiet --universal --upgrade --python-version 3.11 --extra cluster --extra dev --extra docs \
		--extra release \
		--no-annotate --no-header --output-file constraints.txt pyproject.toml

clean:
	rm -rf $(VENV) .airflow .compat .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c '$(CHECK_PYTHON)'
	$(PYTHON) -m venv $(VENV)
	@$(UV) --version >/dev/null 2>&1 || $(BIN)/python -m pip install --quiet uv
	$(INSTALL) --compile-bytecode --editable '.[dev]'
	@touch $@

$(CLUSTER_READY): $(READY)
	$(INSTALL) --compile-bytecode --editable '.[cluster,dev]'
	@touch $@

# One command each; `make help` lists them. Needs Python 3.11 or newer with its venv module.
.DEFAULT_GOAL := help
.PHONY: help run agent demo test check lint types faults mutants defences bench lock audit fix clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OURS := agent commands config demo model database services routers utils benchmarks deploy main.py manage.py logger.py
APT := apt-get install -y python3 python3-venv make

# Runs a command and prints how long it took, also if it failed.
STAGE = stage() { \
	name=$$1; shift; began=$$(date +%s); status=0; \
	echo "== $$name"; "$$@" || status=$$?; \
	echo "== $$name: $$(( $$(date +%s) - began )) s$$([ $$status -eq 0 ] || echo ', FAILED')"; \
	return $$status; \
}

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

run: $(VENV)/.installed ## start the server on the embedded database, for this machine only
	@exec env SERVER_HOST="$${SERVER_HOST:-127.0.0.1}" $(BIN)/python main.py

agent: $(VENV)/.installed-agent ## report this machine and its containers to a server; AGENT_SERVER=http://... for another one
	@grep -qsi '^spool[[:space:]]*[=:]' "$${AGENT_CONFIG:-agent.ini}" || export AGENT_SPOOL="$${AGENT_SPOOL:-data/spool}"; \
	exec $(BIN)/python -m agent

# A database of its own: a made-up fleet is not for the one that agents report to.
demo: $(VENV)/.installed ## fill data/demo.db with a made-up fleet, then serve it
	@test -e data/demo.db || { rm -f data/unfinished.db*; \
		env DATABASE_URL=sqlite:///data/unfinished.db $(BIN)/python manage.py demo && mv data/unfinished.db data/demo.db; }
	@exec env DATABASE_URL=sqlite:///data/demo.db SERVER_HOST="$${SERVER_HOST:-127.0.0.1}" $(BIN)/python main.py

# Processes, each with database servers of its own, as one alone mostly waits for them. Of servers that are not ours there
# is one for all, and some tests change its settings for a while. What measures a duration gets two, however many cores.
OURS_ALONE := $(if $(TEST_MARIADB_URL)$(TEST_MYSQL_URL),,1)
TEST_PROCESSES ?= $(if $(OURS_ALONE),2,0)
SUITE_PROCESSES ?= $(if $(OURS_ALONE),3,0)
SPLIT = -n $(TEST_PROCESSES) --dist loadfile
SPLIT_SUITE = -n $(SUITE_PROCESSES) --dist loadfile --no-loadscope-reorder

test: $(VENV)/.installed-dev ## run lint, types, the tests and a short run of the faults; as root on Debian also install what they need
	@$(STAGE); stage programs tests/install.sh
	@$(STAGE); stage lint $(MAKE) -s lint
	@$(STAGE); stage types $(MAKE) -s types
	@$(STAGE); work=$$(mktemp -d); trap 'rm -rf "$$work"' EXIT; result=0; \
	export TEST_RAN_ON="$$work/ran-on" FAULT_TABLE="$$work/faults" FAULT_ACKS=5000 COVERAGE_FILE="$$work/coverage"; \
	stage suite $(BIN)/python -m pytest -q -rfER -m 'not faults and not agent and not history and not security and not dashboard' $(SPLIT_SUITE) --cov --cov-report= --cov-fail-under=0 || result=$$?; \
	stage agent $(BIN)/python -m pytest -q -rsR -m agent $(SPLIT) --cov --cov-append --cov-report= --cov-fail-under=0 || result=$$?; \
	stage history $(BIN)/python -m pytest -q -rsR -m history $(SPLIT) --cov --cov-append --cov-report= --cov-fail-under=0 || result=$$?; \
	stage dashboard $(BIN)/python -m pytest -q -rsR -m dashboard $(SPLIT) --cov --cov-append --cov-report= --cov-fail-under=0 || result=$$?; \
	stage security $(BIN)/python -m pytest -q -rsR -m 'security and not faults' $(SPLIT) --cov --cov-append --cov-report=term-missing:skip-covered || result=$$?; \
	stage faults $(BIN)/python -m pytest -q -rfER -m faults $(SPLIT) || result=$$?; \
	$(BIN)/python -m tests.fault_table "$$work/faults"; \
	$(BIN)/python -m tests.servers "$$work/ran-on"; exit $$result

check: $(VENV)/.installed-dev ## run lint, types and the quick tests, on the embedded database only
	@$(STAGE); stage lint $(MAKE) -s lint
	@$(STAGE); stage types $(MAKE) -s types
	@$(STAGE); stage suite env TEST_ENGINES=sqlite $(BIN)/python -m pytest -q -rfER -m 'not slow and not faults and not agent and not history and not security and not dashboard'

lint: $(VENV)/.installed-dev ## look for mistakes and for other formatting than ours
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/vermin -q -t=3.9- --no-tips agent

types: $(VENV)/.installed-dev ## check the types
	@$(BIN)/mypy --strict $(OURS) tests

# Acknowledgements of each class of faults: 5000, as in `make test`, take ten minutes, the default hours.
FAULT_ACKS ?= 300000

faults: $(VENV)/.installed-dev ## break servers under load, and print what was lost; FAULT_ACKS=5000 for a short run
	@tests/install.sh
	@work=$$(mktemp -d); trap 'rm -rf "$$work"' EXIT; result=0; \
	env FAULT_ACKS=$(FAULT_ACKS) FAULT_TABLE="$$work/faults" $(BIN)/python -m pytest -q -rfER -m faults --timeout=0 || result=$$?; \
	$(BIN)/python -m tests.fault_table "$$work/faults"; exit $$result

mutants: $(VENV)/.installed-dev ## change the intake's core one expression at a time, and name what no test notices
	@$(BIN)/python -m tests.mutation

defences: $(VENV)/.installed-dev ## take each defence of the threat table out, and name the tests that stay green; ROWS="T1 F32" for some
	@$(BIN)/python -m tests.defences $(ROWS)

bench: $(VENV)/.installed-dev ## measure the intake, the reads and the parts of a report on every database there is
	@$(BIN)/python -m benchmarks.intake
	@$(BIN)/python -m benchmarks.reads
	@$(BIN)/python -m benchmarks.scale
	@$(BIN)/python -m benchmarks.journey
	@$(BIN)/python -m benchmarks.foreign_keys
	@$(BIN)/python -m benchmarks.interpreter
	@$(BIN)/python -m benchmarks.validation
	@$(BIN)/python -m benchmarks.sizes
	@$(BIN)/python -m benchmarks.tokens
	@BENCH_SECONDS=60 BENCH_ROUNDS=4 $(BIN)/python -m benchmarks.dashboards

# What is locked stays until requirements.txt forbids it; LOCK=--upgrade takes the newest of everything.
lock: $(VENV)/.installed-dev ## pin and hash what requirements.txt asks for, for all platforms; LOCK=--upgrade for the newest
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --custom-compile-command 'make lock' \
		$(LOCK) requirements.txt -o requirements.lock

audit: $(VENV)/.installed-dev ## look at what is locked: licences, known vulnerabilities, and a list of it (sbom.json)
	@tests/audit.sh $(BIN)

fix: $(VENV)/.installed-dev ## correct what can be corrected automatically, and format
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

clean: ## remove what these commands made, but no settings, data or logs
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .schemathesis .coverage .coverage.* htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Of `venv` a system may lack the part that brings pip: looked for first, a half-made environment would stay.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo 'Python 3.11 or newer with its venv module is needed: $(APT) (on macOS: brew install python)' >&2; \
		exit 1; \
	}
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.txt | $(BIN)/pip
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.installed-agent: agent/requirements.txt | $(BIN)/pip
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r agent/requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements-dev.txt
	@touch $@

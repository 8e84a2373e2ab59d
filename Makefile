# steerctl: `make help` lists the targets. Environments, indexes and what was tested: docs/install.md.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
# Bytecode of what is imported is kept even where the shell says not to: without it every process compiles torch anew.
export PYTHONDONTWRITEBYTECODE :=

PYTHON ?= python3
# pytest's worker processes; engine tests start processes of their own.
WORKERS ?= 2
# Arguments for pytest, for example ARGS="tests/spec -x".
ARGS ?=

TORCH := $(shell sed -n 's/^torch==//p' requirements-cpu.lock)
TORCH_CPU_INDEX := https://download.pytorch.org/whl/cpu
PROBE := import urllib.request; urllib.request.urlopen("$(TORCH_CPU_INDEX)/torch/", timeout=3)
# Relative, so that a clone may lie in a path with spaces.
BIN := .venv/bin

.PHONY: help quickstart quickstart-grpo quickstart-steer test check tiny-policy docs fig3 tightness golden lock clean-env

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

# --- what a newcomer runs ---------------------------------------------------------------------------------------------

quickstart: .venv/runtime.stamp  ## train the quickstart pair (GRPO, STEER) on two cores and compare them
	@$(MAKE) -j2 quickstart-grpo quickstart-steer
	@$(BIN)/steerctl runs compare runs/quickstart-grpo runs/quickstart-steer

# `exec` makes make's child the trainer itself: its exit status and every signal go straight through.
quickstart-grpo quickstart-steer: quickstart-%: .venv/runtime.stamp
	@exec $(BIN)/steerctl train experiments/quickstart/$*.yaml --overwrite > >(trap '' INT; exec sed -u 's/^/$* | /') 2>&1

# --- what a contributor runs ------------------------------------------------------------------------------------------

test: .venv/dev.stamp  ## make the full environment (real DeepSpeed, real vLLM for CPU) and run every test
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

check: .venv/dev.stamp  ## ruff, mypy --strict, import-linter, and every experiment file loads
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@find experiments -name '*.yaml' -print0 | sort -z | xargs -0r $(BIN)/python -m steerctl check --brief --elsewhere

tiny-policy: .venv/dev.stamp  ## rebuild the embedded policy, bit for bit
	@OMP_NUM_THREADS=1 $(BIN)/python experiments/tiny_policy/build.py

docs: .venv/dev.stamp  ## write the generated pages: docs/config.md, docs/interventions.md, docs/metrics.md
	@$(BIN)/python -m steerctl schema --markdown docs
	@$(BIN)/python -m steerctl.metrics.catalogue

fig3: .venv/dev.stamp  ## the paper's Figure 3: the surface of δ over probability and entropy
	@$(BIN)/python experiments/figures/fig3.py

tightness: .venv/dev.stamp  ## is the first-order theory tight: the tabular study and that of the tiny policy
	@OMP_NUM_THREADS=1 $(BIN)/python experiments/tightness/tabular.py
	@OMP_NUM_THREADS=1 $(BIN)/python experiments/tightness/transformer.py

golden: .venv/dev.stamp  ## rewrite the snapshots of the JSON Schema and of the command line's help
	@$(BIN)/python tests/golden/write_snapshots.py

lock: .venv/dev.stamp  ## rewrite the lock files from what is installed in .venv
	@$(BIN)/python .ci/lock.py

clean-env:  ## remove .venv
	rm -rf .venv

# --- environments -----------------------------------------------------------------------------------------------------

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' \
	  || { echo "steerctl needs Python 3.11 or 3.12: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv .venv

# Installed from a lock without dependency resolution: no second build of torch, no torchvision (docs/install.md).
define install
	start=$$SECONDS; extra=(); \
	seen=$$($(BIN)/python -m pip index versions torch 2>/dev/null || true); \
	if [[ "$$seen" != *'$(TORCH)'* ]]; then \
	  if $(BIN)/python -c '$(PROBE)' 2>/dev/null; then extra=(--extra-index-url $(TORCH_CPU_INDEX)); \
	  else echo "torch $(TORCH): not on pip's index, and $(TORCH_CPU_INDEX) cannot be reached (docs/install.md)" >&2; exit 1; fi; \
	fi; \
	echo "installing $(1) into .venv ..."; \
	$(BIN)/python -m pip install -qq --no-deps --no-compile "$${extra[@]}" -r $(1); \
	$(BIN)/python -m pip install -qq --no-deps --no-compile -e .; \
	echo "installed in $$((SECONDS - start)) s"
endef

.venv/runtime.stamp: requirements-cpu.lock pyproject.toml | .venv/bin/python
	@$(call install,requirements-cpu.lock)
	@touch $@

.venv/dev.stamp: requirements-cpu-dev.lock pyproject.toml | .venv/bin/python
	@$(call install,requirements-cpu-dev.lock)
	@touch $@ .venv/runtime.stamp

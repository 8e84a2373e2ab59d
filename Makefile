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

.PHONY: help quickstart quickstart-grpo quickstart-steer test check tiny-policy docs tightness golden lock clean-env
.PHONY: fig3 fig6 fig8 fig11 fig15 fig16 fig22 fig23
.PHONY: fig1 fig9 fig10 fig18 fig19 fig20 fig21
.PHONY: table3 table4 table5 table6 table12 fig12 fig17 paper

help:  ## this list
	@sed -n 's/^\([a-z0-9 -]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 25

# --- what a newcomer runs ---------------------------------------------------------------------------------------------

quickstart: .venv/runtime.stamp  ## train the quickstart pair (GRPO, STEER) on two cores and compare them
	@$(MAKE) -j2 quickstart-grpo quickstart-steer
	@$(BIN)/steerctl runs compare runs/quickstart-grpo runs/quickstart-steer

# `exec` makes make's child the trainer itself: its exit status and every signal go straight through.
quickstart-grpo quickstart-steer: quickstart-%: .venv/runtime.stamp
	@exec $(BIN)/steerctl train experiments/quickstart/$*.yaml --overwrite > >(trap '' INT; exec sed -u 's/^/$* | /') 2>&1

# --- what a contributor runs ------------------------------------------------------------------------------------------

# The strongest sandbox for programs in answers; without it the next one that holds is used (docs/sandbox.md).
define bubblewrap
	command -v bwrap >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && DEBIAN_FRONTEND=noninteractive timeout 120 apt-get install -y -q bubblewrap >/dev/null 2>&1; } \
	  || echo "bubblewrap is not installed: code is confined by Landlock and seccomp if the kernel has them (docs/sandbox.md)"
endef

test: .venv/dev.stamp  ## make the full environment (real DeepSpeed, real vLLM for CPU) and run every test
	@$(bubblewrap)
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

# Figures that need training. `make fig6 SCALE=paper` trains the 7B of experiments/paper/base.yaml, not the embedded policy.
fig6 fig22 fig23: .venv/dev.stamp  ## eight schemes that scale one quadrant of tokens, against GRPO (one study, three figures)
	@$(BIN)/python -m experiments.quadrants.quadrants

fig8: .venv/dev.stamp  ## W-REINFORCE: the weight of right responses, from NSR to PSR
	@$(BIN)/python -m experiments.reinforce_weight.reinforce_weight

fig11: .venv/dev.stamp  ## GTPO, entropy-shaped advantage and GRPO: entropy and reward over training
	@$(BIN)/python -m experiments.shaped_advantage.shaped_advantage

fig15: .venv/dev.stamp  ## STEER's token weight against the entropy change, at clip 0.99/5
	@$(BIN)/python -m experiments.steer_weights.extreme

fig16: .venv/dev.stamp  ## STEER's mappings: exponential, linear, binary
	@$(BIN)/python -m experiments.steer_weights.mappings

# Figures of single tokens' entropy changes: one study, whose runs all share. SCALE=paper: the paper's models and data.
fig1: .venv/dev.stamp  ## predicted against measured entropy change over the first ten steps
fig9: .venv/dev.stamp  ## where clipped tokens lie, by probability
fig10: .venv/dev.stamp  ## a state's entropy against its change
fig18 fig20: .venv/dev.stamp  ## distribution of the change, three sizes, on either set of problems
fig19 fig21: .venv/dev.stamp  ## predicted against measured change, three sizes, on either set of problems
fig1 fig9 fig10 fig18 fig19 fig20 fig21:
	@$(BIN)/python -m experiments.token_changes.figures $@

# Tables, and the figures of accuracy: a sweep's cells are run or resumed, those that are shared once. SCALE=paper: 8 GPUs.
table3: .venv/dev.stamp  ## the methods at the standard clip
table4 table12: .venv/dev.stamp  ## a larger and a smaller policy
table5: .venv/dev.stamp  ## programs (at tiny scale only the path, no numbers)
table6: .venv/dev.stamp  ## bounds that hardly act: clip 0.99/5
fig12: .venv/dev.stamp  ## accuracy over training, and by STEER's λ_min
fig17: .venv/dev.stamp  ## λ_min by kind of problem
table3 table4 table5 table6 table12 fig12 fig17:
	@exec $(BIN)/python -m experiments.tables.tables $@

paper: .venv/dev.stamp  ## every table and figure, one after the other; stopped at any moment, it goes on
	@for each in table3 table6 fig12 fig17 table12 table4 fig1 fig3 fig6 fig8 fig9 fig10 fig11 fig15 fig16 fig18 fig19 fig20 \
	  fig21 fig22 fig23 table5; do $(MAKE) $$each; done

tightness: .venv/dev.stamp  ## is the first-order theory tight: the tabular study and that of the tiny policy
	@OMP_NUM_THREADS=1 $(BIN)/python experiments/tightness/tabular.py
	@OMP_NUM_THREADS=1 $(BIN)/python experiments/tightness/transformer.py

golden: .venv/dev.stamp  ## rewrite tests/golden: what exact arithmetic says, the JSON Schema, the command line's help
	@for each in tests/golden/make_*.py; do $(BIN)/python $$each; done
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

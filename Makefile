# `make demo` and `make test` work in a fresh clone: they first install the versions of
# envs/constraints.txt into .venv, and nothing anywhere else. `make` alone lists the targets.
.PHONY: help demo test test-all lint format venv clean
.DEFAULT_GOAL := help

# Another Python's modules (a cluster's, say) must not reach into .venv.
unexport PYTHONHOME PYTHONPATH

# Containers may have no home and no name for the user. Caches go to .venv unless the caller has
# chosen another place.
ifndef HOME
export HOME := $(CURDIR)/.venv/cache
endif
ifndef LOGNAME
export LOGNAME := $(or $(shell id -un 2>/dev/null),cch)
endif
RUN = PATH="$(CURDIR)/.venv/bin:$$PATH" \
	XDG_CACHE_HOME="$${XDG_CACHE_HOME:-$(CURDIR)/.venv/cache}" \
	MPLCONFIGDIR="$${MPLCONFIGDIR:-$(CURDIR)/.venv/cache/matplotlib}"
PYTEST = $(RUN) .venv/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile \
	--no-loadscope-reorder

help:
	@echo 'make demo      the whole pipeline on embedded data: tables and figures in minutes'
	@echo 'make test      unit tests and one small run of the pipeline, in minutes'
	@echo 'make test-all  every test: also faults, the browser, the crate validator and SLURM'
	@echo 'make lint      ruff, snakefmt, snakemake --lint, mypy and the import contracts'
	@echo 'make format    rewrite the code with ruff and snakefmt'
	@echo 'make venv      only install into .venv, which the targets above do themselves'
	@echo 'make clean     remove .venv; results stay'
	@echo
	@echo 'PYTEST_ARGS="tests/unit -k name"   run some of the tests'
	@echo 'PYTHON=/path/to/python3.11         the Python 3.11 or 3.12 for .venv, not the first on PATH'
	@echo 'TORCH_INDEX=URL                    install torch from this package index;'
	@echo '                                   https://download.pytorch.org/whl/cpu has CPU builds'

# Prints the version; fails unless it is a supported one that can make virtual environments.
CHECK = import sys; print(sys.version.split()[0]); import ensurepip, venv; \
	sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))
PIP = PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_USER=0 .venv/bin/python -m pip --require-virtualenv \
	install --no-input --constraint envs/constraints.txt

# The stamp is written last, so an interrupted installation starts anew. It holds the checkout's
# path, because a virtual environment does not work after it is moved.
STAMP = .venv/.stamp
ifneq ($(shell cat $(STAMP) 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
endif

# Each candidate is run: a pyenv shim, for example, may exist and fail.
$(STAMP): envs/constraints.txt pyproject.toml Makefile
	@found=; \
	for python in $(if $(PYTHON),"$(PYTHON)",python3.11 python3.12 python3 python); do \
		version=$$("$$python" -c '$(CHECK)' 2>/dev/null) && break; \
		found="$$found$${version:+$$python is $$version; }"; python=; \
	done; \
	if [ -z "$$python" ]; then \
		echo "cch needs Python 3.11 or 3.12 with venv and ensurepip (on Debian: python3-venv);" \
			"$${found:-$(if $(PYTHON),$(PYTHON) does not run,found none on PATH); }set PYTHON=/path/to/python3.11" >&2; \
		exit 1; \
	fi; \
	echo "cch: installing into .venv with Python $$version; this takes some minutes, once"; \
	"$$python" -m venv --clear .venv
	@$(PIP) setuptools
	@$(PIP) --no-deps $(if $(TORCH_INDEX),--index-url "$(TORCH_INDEX)") torch
	@# setuptools is pinned like everything else, so pip must not fetch another to build with.
	@$(PIP) --no-build-isolation --editable '.[dev]'
	@echo '$(CURDIR)' >$@

venv: $(STAMP)

demo: venv
	@$(RUN) .venv/bin/cch demo

test: venv
	@$(PYTEST) -m 'not slow' $(PYTEST_ARGS)

test-all: venv
	@$(PYTEST) $(PYTEST_ARGS)

lint: venv
	@$(RUN) .venv/bin/ruff check .
	@$(RUN) .venv/bin/ruff format --check .
	@$(RUN) .venv/bin/snakefmt --check Snakefile workflow
	@$(RUN) .venv/bin/snakemake --lint
	@$(RUN) .venv/bin/lint-imports --no-cache
	@$(RUN) .venv/bin/mypy --cache-dir .venv/cache/mypy

format: venv
	@$(RUN) .venv/bin/ruff check --fix .
	@$(RUN) .venv/bin/ruff format .
	@$(RUN) .venv/bin/snakefmt Snakefile workflow

clean:
	rm -rf .venv

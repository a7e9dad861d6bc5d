# `make demo` and `make test` work in a fresh clone: every target first sees to .venv, an environment
# that holds the versions of envs/constraints.txt. `make` alone lists the targets.
.PHONY: help demo test lint format venv clean
.DEFAULT_GOAL := help

export PYTHON TORCH_INDEX
# Another Python's modules (a cluster's, say) must not reach into .venv.
unexport PYTHONHOME PYTHONPATH

# Nor is a home needed, or a name for the user (containers): caches lie in .venv unless the caller
# says otherwise.
ifndef HOME
export HOME := $(CURDIR)/.venv/cache
endif
ifndef LOGNAME
export LOGNAME := $(or $(shell id -un 2>/dev/null),cch)
endif
RUN = PATH="$(CURDIR)/.venv/bin:$$PATH" \
	XDG_CACHE_HOME="$${XDG_CACHE_HOME:-$(CURDIR)/.venv/cache}" \
	MPLCONFIGDIR="$${MPLCONFIGDIR:-$(CURDIR)/.venv/cache/matplotlib}"

help:
	@echo 'make demo     the whole pipeline on embedded data: tables and figures in minutes'
	@echo 'make test     the tests; PYTEST_ARGS="tests/unit -k name" runs some of them'
	@echo 'make lint     ruff, snakefmt and snakemake --lint'
	@echo 'make format   rewrites the code as ruff and snakefmt want it'
	@echo 'make venv     only sets up .venv, which the targets above do themselves'
	@echo 'make clean    removes .venv; results stay'
	@echo
	@echo 'PYTHON=/path/to/python3.11   the Python 3.11 or 3.12 to use, instead of the first on PATH'
	@echo 'TORCH_INDEX=URL              the package index to take torch from, instead of the usual one;'
	@echo '                             https://download.pytorch.org/whl/cpu has the small CPU builds'

venv:
	@python=$$(sh envs/find-python) && "$$python" -I envs/install.py

demo: venv
	@$(RUN) .venv/bin/cch demo

test: venv
	@$(RUN) .venv/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile \
		--no-loadscope-reorder $(PYTEST_ARGS)

lint: venv
	@$(RUN) .venv/bin/ruff check .
	@$(RUN) .venv/bin/ruff format --check .
	@$(RUN) .venv/bin/snakefmt --check Snakefile workflow
	@$(RUN) .venv/bin/snakemake --lint

format: venv
	@$(RUN) .venv/bin/ruff check --fix .
	@$(RUN) .venv/bin/ruff format .
	@$(RUN) .venv/bin/snakefmt Snakefile workflow

clean:
	rm -rf .venv

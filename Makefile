# The template's own commands. What it bakes has a Makefile of its own.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
PYTHON ?= python3

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-10s %s\n", $$1, $$2}'

setup: .venv/ready ## the template's environment
.venv/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: Python 3.11 or newer is needed: make PYTHON=..." >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip' || { echo "error: Python's venv module is missing (Debian, Ubuntu: apt install python3-venv)" >&2; exit 2; }
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	@UV_SYSTEM_CERTS=1 VIRTUAL_ENV=.venv .venv/bin/uv pip install --quiet --group dev && touch $@

demo: .venv/ready ## bake it, train on real data, ask the API; KEEP=1 leaves it running
	@.venv/bin/python infra/demo.py $(if $(filter 1 yes true,$(KEEP)),--keep)

test: .venv/ready ## every test, the baked projects' among them; two at a time, or JOBS=4
	@.venv/bin/python -m pytest --verbose --numprocesses $(or $(JOBS),2) --dist loadscope --no-loadscope-reorder

test-fast: .venv/ready ## the tests that install nothing
	@.venv/bin/python -m pytest -m "not slow"

lint: .venv/ready ## style and types of the template's own code
	@.venv/bin/ruff check docs/conf.py hooks infra tests && .venv/bin/ruff format --check docs/conf.py hooks infra tests && .venv/bin/mypy

docs: .venv/ready ## the pages of the documentation, in .docs; a link that leads nowhere is an error
	@.venv/bin/sphinx-build --quiet --fail-on-warning --keep-going --conf-dir docs . .docs
	@echo "docs: .docs/index.html"

picture: .venv/ready ## docs/demo.png: what make demo prints, beside its page
	@.venv/bin/python infra/picture.py

newest: .venv/ready ## a baked project's own lint and tests, on the newest versions that fit
	@rm -rf .newest && .venv/bin/cookiecutter --no-input . --output-dir .newest
	@$(MAKE) -C .newest/bird-strikes pins && $(MAKE) -C .newest/bird-strikes lint test

bench: .venv/ready ## speed of serving, training and large tables, beside others
	@.venv/bin/python tests/bench/bench.py $(BENCH)

scale: .venv/ready ## docs/scale.md: what more requests need, from a benchmark of the API
	@.venv/bin/python tests/bench/bench.py --parts serving --write docs/scale.md $(BENCH)

.PHONY: help setup demo test test-fast lint docs picture newest bench scale

# The template's own commands. A generated project has a Makefile of its own.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
PYTHON ?= python3
PYTHONS ?= 3.11 3.12 3.13 3.14
PYENV := $(subst $() ,,$(patsubst %,%:,$(wildcard $(HOME)/.pyenv/versions/*/bin)))
TEMPLATE := {{cookiecutter.project_slug}}
ENGINE := $(TEMPLATE)/vendor/coldstart
CODE := docs/conf.py hooks infra tests '$(ENGINE)/src' '$(TEMPLATE)/src' '$(TEMPLATE)/infra'
TEXTS := README.md CONTRIBUTING.md docs hooks infra tests '$(TEMPLATE)'
PYTEST_RUN := .venv/bin/python -m pytest --numprocesses $(or $(JOBS),2) --no-loadscope-reorder

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-12s %s\n", $$1, $$2}'

setup: .venv/ready ## make the environment: the engine, torch and the template's tools
.venv/ready: pyproject.toml $(TEMPLATE)/infra/environment.py $(TEMPLATE)/constraints.txt $(ENGINE)/pyproject.toml
	@$(PYTHON) '$(TEMPLATE)/infra/environment.py' .venv --editable '$(ENGINE)[all]' --group dev && touch $@

demo: .venv/ready ## generate a project, train on real data, ask its API; KEEP=1 leaves it running
	@.venv/bin/python infra/demo.py $(if $(filter 1 yes true,$(KEEP)),--keep)

test: .venv/ready ## run every test that is not weekly, two at a time; JOBS=4 PYTEST="-k name"
	@$(PYTEST_RUN) -m 'not weekly' $(PYTEST)

test-engine: .venv/ready ## run the engine's tests in place; JOBS=4 PYTEST="-k name"
	@$(PYTEST_RUN) -m 'not weekly' tests/engine $(PYTEST)

test-weekly: .venv/ready ## run what is slow and rarely breaks; JOBS=4 PYTEST="-k name"
	@$(PYTEST_RUN) -m weekly $(PYTEST)

lint: .venv/ready ## check style, spelling, types and layers
	@.venv/bin/ruff check --config pyproject.toml $(CODE)
	@.venv/bin/ruff format --config pyproject.toml --check $(CODE)
	@.venv/bin/codespell $(TEXTS)
	@mkdir -p .venv/source && ln -sfn '../../$(TEMPLATE)/src/{{cookiecutter.__package}}' .venv/source/bird_strikes
	@.venv/bin/mypy
	@.venv/bin/mypy --cache-dir .mypy_cache/platform infra/platform/*.py
	@test ! -f '$(ENGINE)/.importlinter' || .venv/bin/lint-imports '$(ENGINE)/.importlinter'

docs: .venv/ready ## build the documentation in .docs; a broken link is an error
	@.venv/bin/sphinx-build --quiet --fail-on-warning --keep-going --conf-dir docs . .docs
	@echo "docs: .docs/index.html"

picture: .venv/ready ## take docs/demo.png: what make demo prints, beside its page
	@.venv/bin/python infra/picture.py

newest: .venv/ready ## lint and test a generated project with the newest versions; PYTHONS="3.11 3.14"
	@rm -rf .newest && .venv/bin/cookiecutter --no-input . --output-dir .newest
	@$(MAKE) -C .newest/bird-strikes pins
	@set -e; for version in $(PYTHONS); do \
		if python=$$(PATH="$(PYENV)$$PATH" .venv/bin/uv python find --no-python-downloads $$version 2>/dev/null); then \
			echo "newest: Python $$version"; rm -rf .newest/bird-strikes/.venv; \
			$(MAKE) -C .newest/bird-strikes PYTHON=$$python lint test; \
		else echo "newest: Python $$version is not installed, and was not tried"; fi; done

mutants: .venv/ready ## change promised code, and count what no test notices; FUNCTIONS="take holder", JOBS=1
	@.venv/bin/python tests/mutants.py $(if $(JOBS),--jobs $(JOBS)) $(FUNCTIONS)

bench: .venv/ready ## measure speed beside other tools, and what is judged; BENCH="--parts judgement"
	@.venv/bin/python tests/bench/bench.py $(BENCH)

scale: .venv/ready ## write docs/reference/scale.md from a benchmark of the API
	@.venv/bin/python tests/bench/bench.py --parts serving --write docs/reference/scale.md $(BENCH)

.PHONY: help setup demo test test-engine test-weekly lint docs picture newest mutants bench scale

# `make train` and `make test` set up .venv once. You can stop them at any time: the next call resumes.
# PLAN: options of tools/plan.py for `make train DATA=folder`, such as PLAN='--minutes 60 --any-way-up'.
CONFIG   ?= configs/deepunetto_shapes.py
WORK_DIR ?= work_dirs/$(basename $(notdir $(CONFIG)))
VENV     ?= .venv
VENV_CLASSIC ?= .venv-classic
VENV_DOCS ?= .venv-docs
PY       := $(VENV)/bin/python
# Two processes run the tests; a third one brings nothing where there are two cores.
PYTEST   := -m pytest -n 2 --dist worksteal

# Waiting threads of PyTorch spin; after a short time they should sleep, if another program needs the core.
ifndef OMP_WAIT_POLICY
export GOMP_SPINCOUNT ?= 10000
endif

.DEFAULT_GOAL := help
.PHONY: help demo web train retrain test tests test-all test-classic lint docs venv venv-dev clean

help: ## list the commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

demo: venv ## predict scenes that are drawn, by a model of the package, without training
	@$(PY) demo/image_demo.py --out-dir work_dirs/demo
	@echo "drawings: work_dirs/demo/visualizations; for a picture of yours: $(PY) demo/image_demo.py PICTURE --model NAME; in the browser: make web"

web: ## a page in the browser that shows predictions of MODEL (a name, a config and its checkpoint, or an exported folder) and corrects them
	@tools/misc/make_venv.sh $(VENV) requirements/onedl.txt requirements/web.txt
	@$(PY) demo/web.py $(MODEL)

train: venv ## train CONFIG (generated data by default), test it, draw its predictions; DATA=folder plans a config for your pictures
ifdef DATA
	@$(PY) tools/plan.py "$(DATA)" --train $(PLAN)
else
	@echo "== training $(CONFIG) in $(WORK_DIR); an earlier run is resumed ('make retrain' starts again)"
	@$(PY) tools/train.py $(CONFIG) --work-dir $(WORK_DIR) --resume
	@echo "== testing"
	@$(PY) tools/test.py $(CONFIG) $(WORK_DIR) --work-dir $(WORK_DIR)/test --show-dir $(WORK_DIR)/test/pictures
endif

retrain: ## like train, after deleting WORK_DIR
	rm -rf $(WORK_DIR)
	@$(MAKE) train

test: lint tests ## check style and types, then run the tests

tests: venv-dev
	@echo "== tests"
	@$(PY) $(PYTEST)

test-all: lint ## like test, and what takes longer: the stack's own faults, fuzzing
	@echo "== all tests"
	@DEEPUNETTO_FUZZ=1500 $(PY) $(PYTEST) -m ''

test-classic: ## run the tests on the classic OpenMMLab stack, in .venv-classic (compiles mmcv once, half an hour on one core)
	@tools/misc/make_venv_classic.sh $(VENV_CLASSIC)
	@echo "== tests on the classic stack"
	@$(VENV_CLASSIC)/bin/python $(PYTEST)

lint: venv-dev ## check style, layout (ruff) and types (mypy)
	@echo "== style and types"
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

docs: $(VENV_DOCS)/.done ## build the site in build/site, in an environment of its own; any warning is an error
	@$(VENV_DOCS)/bin/python docs/site_pages.py
	@NO_MKDOCS_2_WARNING=1 $(VENV_DOCS)/bin/mkdocs build
	@echo "open build/site/index.html, or: python3 -m http.server --bind 127.0.0.1 --directory build/site"

$(VENV_DOCS)/.done: requirements/docs.txt
	@python3 -m venv $(VENV_DOCS)
	@$(VENV_DOCS)/bin/python -m pip install --disable-pip-version-check --quiet --requirement requirements/docs.txt
	@touch $@

venv: ## set up .venv with the tested versions (PYTHON=... selects the interpreter)
	@tools/misc/make_venv.sh $(VENV) requirements/onedl.txt

venv-dev:
	@tools/misc/make_venv.sh $(VENV) requirements/onedl.txt requirements/tests.txt requirements/lint.txt

clean: ## delete .venv, .venv-classic, .venv-docs, caches and build files; work_dirs stays
	rm -rf $(VENV) $(VENV_CLASSIC) $(VENV_DOCS) build dist *.egg-info deepunetto_mm/.mim .cache .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The same few commands for people and CI. `make` or `make help` lists them.
PYTHON ?= python3
PORT ?= 8000
VENV := .venv/bin/python
MKDOCS := NO_MKDOCS_2_WARNING=1 $(VENV) -m mkdocs
# Where PyTorch is already there (a GPU machine), test-gpu runs without any set-up.
GPU_PYTHON ?= $(shell test -x $(VENV) && echo $(VENV) || echo $(PYTHON))

.DEFAULT_GOAL := help
.PHONY: help setup serve site test check outputs translated test-gpu record-gpu bench lock clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## install everything once: .venv, front-end assets
	@$(PYTHON) requirements/install.py

serve: setup ## the site in both languages with live reload (PORT=8000)
	@$(MKDOCS) serve --dev-addr 127.0.0.1:$(PORT)

site: setup ## build the site into site/, strictly
	@$(MKDOCS) build --strict

test: ## run every test, after the same set-up and a browser if none is found
	@$(PYTHON) requirements/install.py --browser
	@$(MAKE) --no-print-directory check
	$(VENV) -m pytest -n 2 --dist loadgroup

check: setup ## style and types only: ruff and mypy
	$(VENV) -m ruff check .
	$(VENV) -m mypy

outputs: setup ## run the pages and rewrite the outputs and figures they show
	$(VENV) -m pytest docs --record -q

translated: setup ## show what changed in English since its translation, then mark it translated
	@$(VENV) -m tests.pages.translated

test-gpu: ## training, parity, precision, memory, nccl on a GPU; needs torch, torchvision, numpy, scikit-learn, pytest
	$(GPU_PYTHON) -m pytest -c tests/gpu/pytest.ini tests/gpu

record-gpu: ## run test-gpu and write docs/results/gpu.json: the card, the versions, the seconds, the accuracies
	$(GPU_PYTHON) tests/gpu/record.py

bench: setup ## measure training (DLGUIDE_DATA), the from-scratch pieces, the build, the live reload; writes docs/results/
	$(VENV) tests/bench/training.py all
	$(VENV) tests/bench/from_scratch.py
	$(VENV) tests/bench/site.py

lock: setup ## write the lock files again from pyproject.toml
	$(VENV) requirements/lock.py

clean: ## delete what can be made again, but not .venv
	rm -rf site .cache build dist .pytest_cache .ruff_cache .mypy_cache

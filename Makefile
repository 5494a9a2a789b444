# Every target works from a bare clone with python3, make and a C++ compiler.
.PHONY: setup demo run test lint bench clean
HARUON := .venv/bin/haruon
DEMO ?= demo

setup:
	@scripts/setup.sh

demo: setup
	@$(HARUON) init $(DEMO) --profile tiny --if-missing
	@$(HARUON) pipeline -C $(DEMO)

run: setup
	@$(HARUON) init $(DEMO) --profile tiny --if-missing
	@$(HARUON) -C $(DEMO)

test: setup
	@.venv/bin/pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: setup
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

bench: setup
	@.venv/bin/python -m bench

clean:
	rm -rf .venv demo .pytest_cache .ruff_cache .mypy_cache

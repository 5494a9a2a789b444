# Every target works from a bare clone with python3, make and a C++ compiler.
.PHONY: setup demo run test lint kit second-runtime bench clean
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

# The React Native kit, with node and npm: types, lint, jest, agreement with the Python rules.
kit: setup
	@command -v npm >/dev/null || { echo "make kit needs node 20.19 or newer, with npm"; exit 1; }
	@.venv/bin/pytest tests/export/test_kit.py -rs

# node-llama-cpp, for `EXPORT=DIR python -m bench second_runtime` (700 MB with its GPU builds).
second-runtime: setup
	@command -v npm >/dev/null || { echo "make second-runtime needs node 20 or newer, with npm"; exit 1; }
	@cd scripts/second_runtime && npm ci --ignore-scripts --no-audit --no-fund
	@.venv/bin/pytest tests/export/test_second_runtime.py -rs

bench: setup
	@.venv/bin/python -m bench

clean:
	rm -rf .venv demo .pytest_cache .ruff_cache .mypy_cache

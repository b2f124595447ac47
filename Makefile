.PHONY: setup demo check test slow bench clean browser

BIN := .venv/bin

setup: .venv/.current

.venv/.current: pyproject.toml constraints.txt
	python3 -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch $@

demo: setup
	$(BIN)/codegraft search bytelm --policy ppo --trials 28 --seed 0 --out campaigns/demo
	$(BIN)/codegraft report campaigns/demo

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/vulture

test: setup browser
	$(BIN)/pytest -n 2 --dist loadfile -m "not slow"

slow: setup browser
	$(BIN)/pytest -m slow

bench: setup
	$(BIN)/python -m bench

# The report is tested in a real browser: what is there, else the system package, else playwright's own.
browser: setup
	@command -v chromium >/dev/null || (apt-get update -qq && apt-get install -qqy chromium >/dev/null) || $(BIN)/playwright install chromium

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist

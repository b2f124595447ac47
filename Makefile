.PHONY: setup demo check test slow attack faults bench bench-callgraph bench-graph bench-identity bench-context bench-edits bench-peer bench-records bench-distance bench-stopping bench-throughput signatures clean browser bubblewrap

BIN := .venv/bin

setup: .venv/.current

.venv/.current: pyproject.toml constraints.txt
	python3 -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch $@

demo: setup
	$(BIN)/codegraft search bytelm --policy ppo --trials 8 --seed 0 --out campaigns/demo
	$(BIN)/codegraft report campaigns/demo

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/vulture

test: setup browser bubblewrap
	$(BIN)/pytest -n 2 --dist loadfile -m "not slow"

slow: setup browser bubblewrap
	$(BIN)/pytest -n 2 --dist loadfile -m slow

# Every attack on the metric and on the machine, then each without the guard that stops it; minutes.
attack: setup
	$(BIN)/python -m bench.attacks $(OPTIONS)

# Every fault that this machine can inject, then each without the guard against it; ten minutes. OPTIONS='--points 0': every call of every crash point.
faults: setup
	$(BIN)/python -m bench.faults $(OPTIONS)

bench: setup
	$(BIN)/python -m bench
	$(BIN)/python -m bench.isolation
	$(BIN)/python -m bench.overhead $(OPTIONS)

# What needs repositories that are not ours; each says in its module what to give it.
bench-callgraph: setup  # BENCH=a checkout of github.com/vitsalis/PyCG
	$(BIN)/python -m bench.callgraph $(BENCH) $(OPTIONS)

bench-graph: setup  # REPOS=folders; TRUTH=files that `python bench/trace.py` wrote
	$(if $(TRUTH),$(BIN)/python -m bench.trace $(TRUTH))
	$(if $(REPOS),$(BIN)/python -m bench.graph_speed $(REPOS) $(OPTIONS))

bench-identity: setup  # GIT=git directories
	$(BIN)/python -m bench.identity $(GIT) $(OPTIONS)

bench-context: setup  # REPOS=folders
	$(BIN)/python -m bench.context $(REPOS) $(OPTIONS)

bench-edits: setup  # REPOS=folders named as in bench/recipes; the second half trains a sample for a few steps
	$(BIN)/python -m bench.edit_speed $(REPOS)
	$(BIN)/python -m bench.mutate $(REPOS) $(OPTIONS)

bench-peer: setup  # OPTIONS='--peer PYTHON' of an environment with autoresearch-rl 0.5.0 plays its policies too
	$(BIN)/python -m bench.peer_landscape $(OPTIONS)

bench-records: setup  # REPO=a checkout of karpathy/autoresearch, or of karpathy/nanochat at the parent of 6ed7d1d
	$(BIN)/python -m bench.records $(REPO)

bench-distance: setup  # REPOS=folders; apted and zss in an environment of their own, see bench/peers-distance.txt
	$(BIN)/python -m bench.distance $(REPOS) $(OPTIONS)

bench-stopping: setup  # compares rules on the trainings recorded in bench/data
	$(BIN)/python -m bench.stopping $(OPTIONS)

bench-throughput: setup  # a quarter of an hour: bytelm with and without zygote, early stopping, duplicate rejection
	$(BIN)/python -m bench.throughput $(OPTIONS)

# What calls of torch are checked against; after a change of the torch version.
signatures: setup
	$(BIN)/python -m bench.record_signatures

# The report is tested in a real browser: what is there, else the system package, else playwright's own.
browser: setup
	@command -v chromium >/dev/null || (apt-get update -qq && apt-get install -qqy chromium >/dev/null) || $(BIN)/playwright install chromium

# One layer of isolation; where it cannot be installed, the tests of it are skipped, as they are where it does not work.
bubblewrap:
	@command -v bwrap >/dev/null || (apt-get update -qq && apt-get install -qqy bubblewrap >/dev/null) || echo "bubblewrap is missing: its tests are skipped"

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist

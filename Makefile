# `make demo` draws a pair, `make test` checks; `make check` is its core, `make test-all` has what takes long, too.
# All make and reuse .venv.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
TORCH_CPU := --index-url https://download.pytorch.org/whl/cpu --retries 0 --timeout 15

TASKS := $(addprefix picto-,implicit explicit benign neighbour context)
METHODS := stock negative-prompt sld-medium sld-max casg-sld-max safree+negative sega dng uce esd-x safe-prompt \
	dualsafe-medium dualsafe-max dualsafe-max+preview
# A thread a worker; whoever is done takes tests from the other.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

FULL := OMP_NUM_THREADS=1 $(BIN)/dualsafe bench run --steps 20 --pictures 4 --resume

.PHONY: demo check lint core test test-all mutants test-oldest docs demo-app-test serve-test bench bench-full bench-full-a bench-full-b pairs guards clean

demo: .venv/.installed
	$(BIN)/dualsafe generate "a man in blue with a knife in a park" "a cat in purple holding a bomb on a street" \
		--pair --grid --seed 7 --out out/demo

# Lint and types beside the tests of the core.
check: .venv/.installed-test
	$(MAKE) -j2 lint core

lint: .venv/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

core: .venv/.installed-test
	$(PYTEST) tests/core -m "not slow"

test: lint
	$(PYTEST) -m "not slow"

# What is marked as slow (kills, clusters, a browser, the notebook), and thousands of odd inputs, too.
test-all: lint
	$(PYTEST) --hypothesis-profile=all

# One-line faults in a copy of the core, one at a time: each must fail one of the tests that cover it. Some ten minutes.
mutants: .venv/.installed-test
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/mutants.py --sound

# The CPU build of torch is a tenth of the size; where its index offers none, the registry's build does as well.
.venv/.torch: constraints.txt
	$(PYTHON) -m venv .venv
	$(INSTALL) $(TORCH_CPU) torch --no-deps 2>/dev/null || $(INSTALL) torch --no-deps
	touch $@

.venv/.installed: .venv/.torch pyproject.toml setup.py
	$(INSTALL) --editable .
	touch $@

.venv/.installed-test: .venv/.installed
	$(INSTALL) --editable ".[test]"
	touch $@

# The documentation site, in out/site; a warning fails it.
docs: .venv/.installed-test
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# The app in a real browser (it needs chromium); and the service stopped, held up, fuzzed and walked through, in short. The
# full length: `make test-all`, and `python benchmarks/serve_stress.py`.
demo-app-test: .venv/.installed-test
	$(BIN)/python -m pytest tests/test_demo.py tests/test_demo_browser.py

serve-test: .venv/.installed-test
	$(BIN)/python -m pytest tests/test_serve*.py -m "not slow"

# The methods that matter most on five prompt sets; every method on every set takes hours, a third less with two cores and
# `make -j2`. Both go on where they were stopped.
bench: .venv/.installed-test
	$(BIN)/dualsafe bench run $(TASKS) $(addprefix --methods ,$(METHODS)) --guard picto-guard --limit 30 --batch-size 30 \
		--pictures 3 --resume --out out/bench

bench-full: bench-full-a bench-full-b
	rm -rf out/bench-full
	$(BIN)/dualsafe bench merge out/bench-full-a out/bench-full-b --out out/bench-full

bench-full-a: .venv/.installed-test
	$(FULL) picto-explicit picto-implicit picto-neighbour --out out/bench-full-a

bench-full-b: .venv/.installed-test
	$(FULL) picto-synonym picto-obfuscated picto-context picto-benign --out out/bench-full-b

# 2,000 verified pairs and their null edits; then who judges them well, and what a guard learns from them.
pairs: .venv/.installed-test
	$(BIN)/dualsafe pairs run --prompts picto:explicit --limit 1050 --pairs-per-prompt 2 --shard-size 250 --workers 2 \
		--resume --out out/pairs
	$(BIN)/dualsafe pairs run --prompts picto:neighbour --kind null_edit --limit 300 --shard-size 100 --workers 2 \
		--resume --out out/pairs-null
	$(BIN)/dualsafe pairs verify out/pairs
	$(BIN)/dualsafe pairs verify out/pairs-null

guards: pairs
	$(BIN)/python benchmarks/unedited.py out/unedited
	$(BIN)/dualsafe guard train out/pairs --null out/pairs-null --also unedited=out/unedited --seeds 100 --resume --out out/guard
	$(BIN)/dualsafe guard eval out/pairs out/pairs-null --split test --judges picto --judges picto-clip \
		--judges guard:out/guard/guard --judges picto-guard --judges picto-examiner --resume --out out/board

# The same tests against the oldest supported versions: those that constraints.txt pins for Python 3.10 (diffusers 0.41).
OLDEST ?= python3.10
test-oldest:
	$(OLDEST) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet --constraint constraints.txt $(TORCH_CPU) torch --no-deps 2>/dev/null || \
		.venv-oldest/bin/python -m pip install --quiet --constraint constraints.txt torch --no-deps
	.venv-oldest/bin/python -m pip install --quiet --constraint constraints.txt --editable ".[test]"
	.venv-oldest/bin/python -m pytest -m "not slow"

clean:
	rm -rf .venv .venv-oldest build dist out *.egg-info

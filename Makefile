# `make demo` draws a pair, `make test` checks; `make check` is its core, `make test-all` has what takes long, too.
# All make and reuse .venv.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
TORCH_CPU := --index-url https://download.pytorch.org/whl/cpu --retries 0 --timeout 15

METHODS := stock negative-prompt sld-weak sld-medium sld-strong sld-max sld-max-by-category casg-sld-max safree \
	safree+negative sega dng uce esd-x safe-prompt dualsafe-low dualsafe-medium dualsafe-high dualsafe-max \
	dualsafe-max+preview dualsafe-max+preview:watch=none dualsafe-max:scope=words
ATTACKED := stock sld-max safree+negative dualsafe-max dualsafe-max+preview
MAIN := stock negative-prompt sld-max safree+negative uce dualsafe-max dualsafe-max+preview
BENCH := OMP_NUM_THREADS=1 .venv/bin/dualsafe bench run $(addprefix --methods ,$(METHODS)) --guard picto-guard --limit 50 \
	--batch-size 25 --pictures 3 --resume
ATTACK := OMP_NUM_THREADS=1 .venv/bin/dualsafe bench run $(addprefix --methods ,$(ATTACKED)) --guard picto-guard --limit 16 \
	--budget 6 --batch-size 16 --resume
# A thread a worker; whoever is done takes tests from the other.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

FULL := OMP_NUM_THREADS=1 $(BIN)/dualsafe bench run $(addprefix --methods ,$(METHODS)) --guard picto-guard --limit 200 --seeds 2 \
	--batch-size 200 --pictures 4 --resume

.PHONY: demo check lint core test gpu-test test-all mutants test-oldest docs demo-app-test serve-test bench bench-a bench-b \
	bench-main attacks bench-full bench-full-a bench-full-b pairs guards clean

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

# Every family's contract on a GPU.
ON_GPU := families exactness watch masks inputs_text pipeline_calls pipeline_noise schedulers adapters
gpu-test: .venv/.installed-test
	DUALSAFE_TEST_DEVICE=cuda $(PYTEST) $(ON_GPU:%=tests/core/test_%.py) tests/test_closed_loop.py \
		tests/test_exactness_on_picto.py tests/test_compile.py

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

# All methods on all prompt sets, 50 prompts of each, in an hour and a half on two cores with `make -j2`; `make -j2 bench-full` takes
# 200 prompts and two seeds, for a GPU: 400 pictures of a method in seconds there. Both go on where they were stopped.
bench: bench-a bench-b
	rm -rf out/bench
	$(BIN)/dualsafe bench merge out/bench-a out/bench-b --out out/bench

bench-a: .venv/.installed-test
	$(BENCH) picto-implicit picto-context picto-explicit --out out/bench-a

bench-b: .venv/.installed-test
	$(BENCH) picto-benign picto-neighbour picto-synonym picto-obfuscated --out out/bench-b

# The few that the README compares, on more prompts: an hour and a quarter.
bench-main: .venv/.installed-test
	OMP_NUM_THREADS=1 $(BIN)/dualsafe bench run picto-implicit picto-explicit picto-benign picto-context picto-neighbour \
		picto-synonym picto-obfuscated $(addprefix --methods ,$(MAIN)) --guard picto-guard --limit 200 --batch-size 25 \
		--resume --out out/bench-main

# What attackers get through, 16 prompts each, 6 pictures to ask for.
attacks: .venv/.installed-test
	$(ATTACK) picto-explicit $(addprefix --attack ,disguise synonym suffix ring-a-bell) --out out/attacks-explicit
	$(ATTACK) picto-implicit $(addprefix --attack ,suffix adaptive) --out out/attacks-implicit
	rm -rf out/attacks
	$(BIN)/dualsafe bench merge out/attacks-explicit out/attacks-implicit --out out/attacks

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

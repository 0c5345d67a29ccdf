# Two commands: `make demo` draws a pair, `make test` runs every check. Both make and reuse .venv.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
TORCH_CPU := --index-url https://download.pytorch.org/whl/cpu --retries 0 --timeout 15

TASKS := $(addprefix picto-,explicit synonym implicit obfuscated neighbour benign)

.PHONY: demo test test-oldest bench bench-full clean

demo: .venv/.installed
	$(BIN)/dualsafe generate "a man in blue with a knife in a park" "a cat in purple holding a bomb on a street" \
		--pair --grid --seed 7 --out out/demo

test: .venv/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

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

# Every method on every prompt set, in short; bench-full takes hours. Both go on where they were stopped.
bench: .venv/.installed-test
	$(BIN)/dualsafe bench run $(TASKS) --limit 40 --steps 20 --pictures 4 --resume --out out/bench

bench-full: .venv/.installed-test
	$(BIN)/dualsafe bench run $(TASKS) --pictures 4 --resume --out out/bench-full

# The same tests against the oldest supported versions: those that constraints.txt pins for Python 3.10 (diffusers 0.41).
OLDEST ?= python3.10
test-oldest:
	$(OLDEST) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet --constraint constraints.txt $(TORCH_CPU) torch --no-deps 2>/dev/null || \
		.venv-oldest/bin/python -m pip install --quiet --constraint constraints.txt torch --no-deps
	.venv-oldest/bin/python -m pip install --quiet --constraint constraints.txt --editable ".[test]"
	.venv-oldest/bin/python -m pytest

clean:
	rm -rf .venv .venv-oldest build dist out *.egg-info

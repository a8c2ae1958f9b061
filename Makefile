# Two commands do everything on a fresh machine with Python >= 3.11: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-long test-compiled compiled lint fuzz bench abuse clean

# Installed once for each state of pyproject.toml. A stamp for each, so that a demo needs no test tools.
$(VENV)/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[compiled]'
	touch $@

$(VENV)/.installed-dev: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev,postgres]'
	-@$(BIN)/python -m gateway.compiled
	touch $@ $(VENV)/.installed

# Without a C compiler it says so, and the node runs its sources.
demo: $(VENV)/.installed
	-@$(BIN)/python -m gateway.compiled
	$(BIN)/tollgate demo $(ARGS)

compiled: $(VENV)/.installed
	$(BIN)/python -m gateway.compiled

# Whole scenarios: load tools at a small size, real clients, memory under load, and accounts' random lives.
# Minutes, so apart from `make test`.
LONG := tests/loadtest tests/gateway/clients tests/gateway/resources
# What waits for real deadlines and hours: seconds for each test. The compiled build runs it too.
WAITING := tests/gateway/proxy/test_deadlines.py tests/gateway/proxy/test_hours.py tests/test_wire_bill.py
LIVES ?= 300

test: $(VENV)/.installed-dev
	TOLLGATE_COMPILED=0 $(BIN)/python -m pytest $(LONG:%=--ignore=%) $(WAITING:%=--ignore=%) \
	  --cov --cov-report=term:skip-covered --cov-fail-under=90 $(ARGS)

test-long: $(VENV)/.installed-dev
	TOLLGATE_COMPILED=0 TOLLGATE_TEST_LIVES=$(LIVES) $(BIN)/python -m pytest $(LONG) $(WAITING) tests/billing/test_stateful.py \
	  $(ARGS)

# What goes through workers, on their compiled build.
test-compiled: $(VENV)/.installed-dev
	$(BIN)/python -m gateway.compiled
	TOLLGATE_COMPILED=1 $(BIN)/python -m pytest tests/gateway tests/test_end_to_end.py tests/test_wire_bill.py $(LONG:%=--ignore=%) $(ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Each parser under a coverage-guided fuzzer, for so many seconds; what it found new stays in .fuzz/, a finding too.
SECONDS ?= 600
FUZZ_TARGETS ?= request response chunked path
fuzz: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --editable '.[fuzz]'
	set -e; for target in $(FUZZ_TARGETS); do mkdir -p .fuzz/$$target; nice $(BIN)/python -m tests.fuzz $$target \
	  .fuzz/$$target tests/fuzz/corpus/$$target -dict=tests/fuzz/http.dict -artifact_prefix=.fuzz/$$target- \
	  -max_total_time=$(SECONDS); done

bench: $(VENV)/.installed-dev
	$(BIN)/python -m loadtest.bench $(ARGS)

abuse: $(VENV)/.installed-dev
	$(BIN)/python -m loadtest.abuse $(ARGS)

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache

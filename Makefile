# Every target builds what it lacks and works as the first command in a fresh clone.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test mutations fuzz lint bench quality docs e2e picture clean

# Stands for an environment that matches these two files.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Barograph needs Python 3.11 or newer; this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

# Learn the fault-free part of the recording, replay the rest: make demo DEMO_ARGS=--exit
demo: $(VENV)/installed
	$(BIN)/barograph demo $(DEMO_ARGS)

# Many tests wait rather than work, so three files at once are faster even on two cores. They run in the order of
# their names: the default order starts the files with the fewest tests last, and those take longest.
# TEST_ARGS="-n 0 tests/unit" runs them in one process.
PYTEST := $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder
test: $(VENV)/installed
	$(PYTEST) $(TEST_ARGS)

# Deliberate mistakes, one at a time: the tests must notice each. MUTATIONS_ARGS=models/tail.py for those of one file
mutations: $(VENV)/installed
	$(BIN)/python tests/mutations.py $(MUTATIONS_ARGS)

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/installed
	$(BIN)/python benchmarks/stages.py $(BENCH_ARGS)
	$(BIN)/python benchmarks/formats.py $(BENCH_FORMATS_ARGS)
	$(BIN)/python benchmarks/sizing.py $(BENCH_SIZING_ARGS)

# The quality card: make quality QUALITY_ARGS="--data ../shared/data"; without data, QUALITY_ARGS=--quick simulates it
quality: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[quality]'
	$(BIN)/python benchmarks/quality.py $(QUALITY_ARGS)

# Generated files: the reference of exported metrics, and Grafana's dashboard
docs: $(VENV)/installed
	$(BIN)/python -c 'from monitor.metrics.reference import reference; print(reference(), end="")' > docs/metrics.md
	$(BIN)/python deploy/grafana/dashboard.py > deploy/grafana/dashboards/barograph.json

# Tests against real servers: Prometheus and its tools, Alertmanager, Chromium, systemd, and the Apache Kafka in
# KAFKA_HOME. The last line says what ran.
e2e: $(VENV)/installed
	$(PYTEST) -m e2e -rs $(TEST_ARGS) tests/e2e

# A million hostile payloads over all decoders; `make test` tries twenty thousand: make fuzz FUZZ_SEED=7
FUZZ_PAYLOADS ?= 1000000
FUZZ_SEED ?= 0
fuzz: $(VENV)/installed
	BAROGRAPH_FUZZ_PAYLOADS=$(FUZZ_PAYLOADS) BAROGRAPH_FUZZ_SEED=$(FUZZ_SEED) $(BIN)/python -m pytest $(TEST_ARGS) tests/fuzz

# The README's picture of a fired alert, from a real Prometheus: needs Debian's prometheus, chromium and chromium-driver
picture: $(VENV)/installed
	PICTURE=docs/alert.png $(BIN)/python -m pytest -m e2e -rs -k shows_the_alert_to_a_person tests/e2e/test_prometheus.py

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

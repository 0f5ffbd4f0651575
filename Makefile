# The two commands are `make run` and `make test`; both set up what they need.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
PLUGINS := $(sort $(wildcard plugins/ssl-plugin-*))
METADATA := pyproject.toml $(PLUGINS:%=%/pyproject.toml)
# Two cores: two test processes of one thread each.
WORKERS ?= 2

.PHONY: run test lint format benchmark bench soak screenshots dist docs system ffcv clean

run: $(VENV)/.installed
	$(BIN)/ssl-host run examples/quickstart.ini

test: $(VENV)/.installed-test lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS)

lint: $(VENV)/.installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The README's table: six methods, three seeds, about half an hour on two cores.
benchmark: $(VENV)/.installed
	$(BIN)/ssl-host benchmark benchmarks/mnist5k.ini
	$(BIN)/python benchmarks/publish.py runs/benchmark/mnist5k

# Speed against what would be used instead, side by side, under 15 minutes on two cores.
bench: $(VENV)/.installed-test
	$(BIN)/python -m pip install --quiet --group bench
	$(BIN)/python benchmarks/speed/run.py

# A hundred SIGKILLs at random moments; every run ends as its uninterrupted twin did.
soak: $(VENV)/.installed
	$(BIN)/python benchmarks/soak.py

# The site, in site/; the reference pages are written anew from the code.
docs: $(VENV)/.installed-test
	$(BIN)/python docs/generate_reference.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

# The pictures in docs/images, of the quickstart and three short runs.
screenshots: $(VENV)/.installed
	$(BIN)/python docs/screenshots.py

# What is uploaded to an index: wheels of the host and of every plugin, and the host's source.
DIST ?= dist
dist: $(VENV)/.installed-test
	rm -f $(DIST)/ssl_*
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir $(DIST) \
	. $(PLUGINS:%=./%)
	@told=$$({ $(BIN)/python -m hatchling build --target sdist --directory $(DIST) && \
	$(BIN)/python -m twine check --strict $(DIST)/*; } 2>&1) || { echo "$$told"; exit 1; }
	@ls $(DIST)

$(VENV)/.created:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	touch $@

$(VENV)/.installed: $(VENV)/.created $(METADATA)
	$(BIN)/python -m pip install --quiet -e ".[mnist,digits,tensorboard,onnx]" $(PLUGINS:%=-e ./%)
	touch $@

# What some tests need of the system: a browser for the report, libraries that ffcv is compiled
# against. Without root and apt those tests are left out. Google Chrome, which the workflows' machines
# have, does for chromium.
PACKAGES := chromium pkg-config libopencv-dev libturbojpeg0-dev
CHROMIUM := /usr/local/bin/chromium
system:
	@if [ "$$(id -u)" = 0 ] && ! command -v chromium > /dev/null && \
	command -v google-chrome > /dev/null; then \
	ln -sf "$$(command -v google-chrome)" $(CHROMIUM); fi
	@if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null && \
	! dpkg -s $(PACKAGES) > /dev/null 2>&1; then \
	apt-get update -qq > /dev/null 2>&1; \
	for package in $(PACKAGES); do \
	apt-get install -y -qq --no-install-recommends $$package > /dev/null 2>&1 || \
	echo "$$package could not be installed: its tests will be skipped"; done; fi

# FFCV is compiled; the README of its plugin says what it needs of the system.
ffcv: $(VENV)/.installed
	@$(BIN)/python -m pip install --quiet -e "./plugins/ssl-plugin-ffcv[ffcv]" > /dev/null 2>&1 || \
	echo "ffcv could not be compiled: its tests will be skipped"

$(VENV)/.installed-test: $(VENV)/.installed
	$(MAKE) system
	$(BIN)/python -m pip install --quiet --group test
	$(MAKE) ffcv
	touch $@

clean:
	rm -rf $(VENV) runs build dist .mypy_cache .ruff_cache .pytest_cache

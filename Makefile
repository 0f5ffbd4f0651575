# The two commands are `make run` and `make test`; both set up what they need.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
PLUGINS := $(sort $(wildcard plugins/ssl-plugin-*))
METADATA := pyproject.toml $(PLUGINS:%=%/pyproject.toml)
# Two cores: two test processes of one thread each. A third one did not make the tests faster.
WORKERS ?= 2
# Caches that a second clone on this machine can use.
CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/ssl-host
export MYPY_CACHE_DIR ?= $(CACHE)/mypy
# Modules are compiled when they are first imported: most of torch's never are.
PIP := PIP_NO_COMPILE=1 $(BIN)/python -m pip install --quiet

.PHONY: run test coverage quick lint format test-lowest benchmark bench soak traps screenshots dist docs \
	system ffcv kernels clean

run: $(VENV)/.installed
	$(BIN)/ssl-host run examples/quickstart.ini

# mypy and the compilers of ffcv and of the view kernels need a core each.
test:
	$(MAKE) --no-print-directory -j2 $(VENV)/.installed-test
	$(MAKE) --no-print-directory -j2 lint ffcv kernels
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

# The part of the core that its tests run. Tracing makes them a third slower, so it is not in `test`.
coverage: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests --ignore=tests/docs -n $(WORKERS) \
	--dist worksteal --cov --cov-report=term

# Style, types, import rules, and the tests of the files that differ from BASE.
BASE ?= HEAD
quick: $(VENV)/.installed-test lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) -m "not slow" \
	$$($(BIN)/python tests/changed.py $(BASE))

lint: $(VENV)/.installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The tests with the lowest versions that the metadata allows, in an environment of their own.
LOWEST ?= .venv-lowest
test-lowest:
	uv venv --quiet --allow-existing --python 3.10 $(LOWEST)
	VIRTUAL_ENV=$(LOWEST) uv pip install --quiet --resolution lowest-direct \
	-e ".[mnist,digits,tensorboard]" $(PLUGINS:%=-e ./%)
	VIRTUAL_ENV=$(LOWEST) uv pip install --quiet --group test
	OMP_NUM_THREADS=1 $(LOWEST)/bin/python -m pytest -n $(WORKERS) -m "not slow" \
	--ignore=tests/docs --ignore=tests/test_distributions.py

# The README's tables: all methods, three seeds, about four hours on two cores; or some methods, as
# in `make benchmark METHODS="simclr vicreg"`. The same command resumes an interrupted benchmark.
SUITES := mnist5k mnist5k-joint mnist5k-teachers mnist5k-masked
comma := ,
space := $(subst ,, )
benchmark: $(VENV)/.installed
ifdef METHODS
	$(BIN)/ssl-host benchmark benchmarks/mnist5k.ini -o suite.methods=$(subst $(space),$(comma),$(METHODS))
else
	set -e; for suite in $(SUITES); do $(BIN)/ssl-host benchmark benchmarks/$$suite.ini; done
	$(BIN)/python benchmarks/publish.py $(SUITES:%=runs/benchmark/%)
	$(BIN)/python benchmarks/label_free.py
	$(BIN)/python benchmarks/publish.py
endif

# Speed against what would be used instead, measured in one run: 15 minutes on two cores.
bench: $(VENV)/.installed-test ffcv
	$(PIP) --group bench
	$(BIN)/python benchmarks/speed/run.py

# SIGKILLs at random moments; every run must end like its uninterrupted twin.
KILLS ?= 100
soak: $(VENV)/.installed
	$(BIN)/python benchmarks/soak.py --kills $(KILLS)

# Known mistakes of each method, put in one by one; its tests must notice. Ten minutes on one core.
traps: $(VENV)/.installed-test
	$(BIN)/python tests/traps.py

# The site, in site/; the reference pages are generated from the code.
docs: $(VENV)/.installed-test
	$(BIN)/python docs/generate_reference.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

# The pictures in docs/images, of the quickstart and three short runs.
screenshots: $(VENV)/.installed
	$(BIN)/python docs/screenshots.py

# The files to upload to an index: wheels of the host and of every plugin, and the host's source.
DIST ?= dist
dist: $(VENV)/.installed-test
	rm -f $(DIST)/ssl_*
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir $(DIST) \
	. $(PLUGINS:%=./%)
	@output=$$({ $(BIN)/python -m hatchling build --target sdist --directory $(DIST) && \
	$(BIN)/python -m twine check --strict $(DIST)/*; } 2>&1) || { echo "$$output"; exit 1; }
	@ls $(DIST)

$(VENV)/.created:
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip "hatchling>=1.24" editables
	touch $@

# One build environment for all distributions: one for each would take minutes.
$(VENV)/.installed: $(VENV)/.created $(METADATA)
	$(PIP) --no-build-isolation -e ".[mnist,digits,tensorboard]" $(PLUGINS:%=-e ./%) -e "./plugins/ssl-plugin-export[onnx]"
	touch $@

# Some tests need a browser for the report, and libraries that ffcv is compiled against. Without
# root and apt those tests are skipped. Google Chrome, which the workflows' machines have, replaces
# chromium.
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

# FFCV is compiled once and its wheel kept; the README of its plugin lists what it needs.
ffcv: $(VENV)/.installed
	@$(PIP) -e "./plugins/ssl-plugin-ffcv[ffcv]" > /dev/null 2>&1 || \
	echo "ffcv could not be compiled: its tests will be skipped"

# With -j2, as in `make test`, system packages are installed at the same time as Python's.
$(VENV)/.installed-test: $(VENV)/.installed | system
	$(PIP) --group test
	touch $@

# Compile the view kernels once, before two test processes would compile them at the same time.
kernels: $(VENV)/.installed
	@$(BIN)/python -c "import torch, ssl_host; ssl_host.build('augmentation', 'plain', \
	image_size=8)(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))"

clean:
	rm -rf $(VENV) $(LOWEST) runs build dist .mypy_cache .ruff_cache .pytest_cache

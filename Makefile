# Needs Python 3.10 or newer and make; everything else goes into .venv.
# Another Python: make demo PYTHON=python3.12

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python

.PHONY: help setup demo page lint test test-peers test-browser test-distributed exercise course-check docs gpu-check clean
.DELETE_ON_ERROR:

help:
	@echo "make demo        colourise the photographs of examples/ into out/"
	@echo "make page        open the page on this machine: drop photos, see what the network believes"
	@echo "make lint        check style and who imports whom"
	@echo "make test        run the tests (no GPU, no torch)"
	@echo "make test-peers  run the tests against torch, scikit-image, OpenCV"
	@echo "make test-browser  run both pages in Chromium (needs chromium, chromedriver)"
	@echo "make test-distributed  run the tests of several processes (installs mpi4py and MPICH)"
	@echo "make exercise N=6   check your answers to chapter 6 of the course (none: all chapters)"
	@echo "make course-check   run the course's code, and what checks the exercises"
	@echo "make docs        make the course's site in out/site, to be read without a network"
	@echo "make gpu-check   run the GPU tests and benchmarks (says so where there is no GPU)"
	@echo "make setup       only build .venv, which the others do by themselves"
	@echo "make clean       remove .venv, out/ and caches; runs/ stays"

setup: $(VENV)/.installed

demo: $(VENV)/.installed
	$(PY) infer.py examples/*.jpg --compare --out out
	@echo "The pictures are in out/"

page: $(VENV)/.page
	$(PY) -m mini_colorize.page

lint: $(VENV)/.installed
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(VENV)/bin/lint-imports

# By as many processes as there are cores, at most 4: each test may use all cores itself. Whoever is
# done first takes from the others.
test: $(VENV)/.installed
	$(PY) -m pytest -q -n auto --maxprocesses 4 --dist worksteal -m "not peers" --ignore-glob "*_browser.py" --ignore tests/test_distributed.py

# The import comes first: without torch the peers tests must fail, not skip.
test-peers: $(VENV)/.peers
	$(PY) -c "import torch, skimage, cv2"
	$(PY) -m pytest -q -m peers

# Without selenium, Chromium or chromedriver the browser tests must fail, not skip.
test-browser: $(VENV)/.browser
	PYTHONPATH=tests $(PY) -c "import browser, sys; sys.exit(browser.why_unavailable())"
	$(PY) -m pytest -q tests/test_turing_browser.py tests/test_page_browser.py

# Without mpi4py these would skip.
test-distributed: $(VENV)/.distributed
	$(PY) -c "import mpi4py.MPI"
	$(PY) -m pytest -q -n auto --maxprocesses 2 --dist worksteal tests/test_distributed.py

exercise: $(VENV)/.installed
	@$(PY) -m course $(N)

course-check: $(VENV)/.installed
	$(PY) -m pytest -q -n auto --maxprocesses 4 course/tests

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build -q --strict
	@echo "The course is in out/site/index.html"

# Runs in a Python that has CuPy already; torch there is compared with. make gpu-check GPU_PYTHON=...
GPU_PYTHON ?= python3
gpu-check:
	$(GPU_PYTHON) tools/gpu_check.py

clean:
	rm -rf $(VENV) out build dist .pytest_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# .installed and those beside it are stamps: written last, older than pyproject.toml = do it again.
# .making stands in a venv while it is being built: one that still has it is thrown away.
$(VENV)/.installed: pyproject.toml
	@if [ -e $(VENV)/.making ] || ! $(PY) -m pip --version >/dev/null 2>&1; then \
	  command -v "$(PYTHON)" >/dev/null || { \
	    echo "$(PYTHON) not found: install Python 3.10 or newer, or say make PYTHON=..." >&2; exit 1; }; \
	  "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	    echo "$(PYTHON) is $$("$(PYTHON)" -V 2>&1): 3.10 or newer is needed; say make PYTHON=..." >&2; exit 1; }; \
	  "$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { \
	    echo "$(PYTHON) has no venv module: install it (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }; \
	  echo "Building $(VENV)"; \
	  rm -rf $(VENV) && mkdir $(VENV) && touch $(VENV)/.making && \
	  "$(PYTHON)" -m venv $(VENV) && rm $(VENV)/.making; \
	fi
	$(PY) -m pip install -q -e '.[test,plots]'
	@touch $@

$(VENV)/.page: $(VENV)/.installed
	$(PY) -m pip install -q -e '.[page]'
	@touch $@

$(VENV)/.peers: $(VENV)/.installed
	$(PY) -m pip install -q -e '.[peers]'
	@touch $@

$(VENV)/.docs: $(VENV)/.installed
	$(PY) -m pip install -q -e '.[docs]'
	@touch $@

$(VENV)/.distributed: $(VENV)/.installed
	$(PY) -m pip install -q -e '.[distributed]'
	@touch $@

$(VENV)/.browser: $(VENV)/.installed
	$(PY) -m pip install -q -e '.[browser]'
	@touch $@

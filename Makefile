# Everything that a fresh machine with python3 and make needs: `make book`, `make test`.
#
#   make book                the site, from the stored outputs, into _build/html
#   make book DATA=DIR       the same executed on the data sets under DIR, into _build/edition; committed notebooks stay
#   make test                ruff, mypy, every test, every notebook (nbval), the site in a browser where one is found
#   make execute             runs the notebooks whose source or library has changed and stores their outputs
#   make slides              slides of each chapter, from the site, into _build/slides: one file each, no network needed
#   make pdf                 the book as _build/fundus-book.pdf; needs Chromium
#   make links               asks every address on the web that the book names (those within it: `make book`)
#   make lab                 JupyterLab
#   make records             lists our recorded runs
#   make benchmarks          times ours in pairs with the usual alternative
#   make address             carries the repository's address from pyproject.toml to badges and Colab cells
#   make clean               removes what was built, not .venv

PYTHON ?= python3
DATA ?=
WORKERS ?= 2
BIN := .venv/bin
READY := .venv/ready
JB := $(BIN)/jupyter-book build -W -n --keep-going --quiet

export PYDEVD_DISABLE_FILE_VALIDATION := 1
export JUPYTER_PLATFORM_DIRS := 1
export OMP_WAIT_POLICY := passive

.DELETE_ON_ERROR:  # a site whose build failed is not up to date
.PHONY: book test check types style execute slides pdf links lab records benchmarks address clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, this is " + sys.version)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[book,test]'
	touch $@

SOURCES := $(wildcard $(shell git ls-files -co --exclude-standard book fundus_lib _config.yml _toc.yml 2>/dev/null))

ifeq ($(DATA),)
book: _build/html/index.html
else
book: $(READY)
	$(BIN)/python tools/notebooks.py execute --data '$(DATA)' --to _build/edition
	rm -rf _build/edition/_build
	$(JB) _build/edition
	@echo "The edition on your data: _build/edition/_build/html/index.html"
endif

# An incremental build hides old warnings, so a changed source builds the whole site anew (two minutes).
_build/html/index.html: $(READY) $(SOURCES)
	rm -rf _build/html _build/.doctrees
	$(JB) .
	@echo "The book: _build/html/index.html"

check: $(READY)
	$(MAKE) --no-print-directory --jobs=2 types style

types: $(READY)
	$(BIN)/mypy

style: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tools/notebooks.py check

# One thread for each worker: two workers with two threads each would wait for each other, many times slower. The
# notebooks are tested in the edition in which they are stored, so without FUNDUS_DATA.
test: check book
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests -n $(WORKERS) --benchmark-disable
	env -u FUNDUS_DATA OMP_NUM_THREADS=1 $(BIN)/python -m pytest book -n $(WORKERS)

execute: $(READY)
	$(BIN)/python tools/notebooks.py execute

slides: book
	$(BIN)/python tools/slides.py

pdf: $(READY)
	$(BIN)/python tools/pdf.py --check
	rm -rf _build/singlehtml _build/.doctrees
	$(JB) --builder singlehtml .
	$(BIN)/python tools/pdf.py

# Internal links need no network: Sphinx's -W -n stops `make book` at a broken one, and tests/browser follows each.
links: $(READY)
	$(JB) --builder linkcheck .

lab: $(READY)
	$(BIN)/jupyter lab book

records: $(READY)
	$(BIN)/fundus records

benchmarks: $(READY)
	$(BIN)/python -m pytest tests/benchmarks --benchmark-only --dist=no --benchmark-timer=time.process_time \
		--benchmark-columns=min,median,max,rounds

address: $(READY)
	$(BIN)/python tools/notebooks.py address

clean:
	rm -rf _build .pytest_cache .mypy_cache .ruff_cache

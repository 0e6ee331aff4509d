# Every target works as the first command on a fresh machine with Python 3.11 or newer: it makes the virtual environment
# .venv when that is missing or older than pyproject.toml or constraints.txt.
#
#   make imagine PROMPT="a red house by the sea at night, watercolor"
#   make test
#
# Linux without a GPU: PyPI's torch for Linux brings several GB of CUDA libraries. PyTorch's own index has the CPU build:
#   make imagine TORCH_INDEX=https://download.pytorch.org/whl/cpu PROMPT="..."

PYTHON ?= python3
TORCH_INDEX ?=
PROMPT ?= a red house by the sea at night, watercolor
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL = $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

# The user's words reach the shell through the environment, never through the text of a recipe, and make does not
# expand them: quotes, dollars, backslashes and Chinese arrive as typed.
unexport PROMPT
imagine: export MINIDIFFUSION_PROMPT := $(value PROMPT)

# Two test processes on two cores: more threads in each would only get in each other's way.
test kernels-check lessons lessons-check: export OMP_NUM_THREADS := 1

.DELETE_ON_ERROR:
.PHONY: help imagine test kernels-check mutants lessons lessons-check lint docs-files bench gpu weights check-pins clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

imagine: $(VENV)/.for-imagine  ## four pictures of PROMPT="..." (more options: ARGS="--seed 3 --steps 30")
	@$(BIN)/minidiffusion imagine $(ARGS) -- "$$MINIDIFFUSION_PROMPT"

test: $(VENV)/.for-work  ## the test suite, without the notebooks
	$(BIN)/python -m pytest -n 2 -m "not lesson and not kernel" $(ARGS)

lessons: $(VENV)/.for-work  ## execute every lesson and write lessons/*.ipynb
	$(BIN)/python -m lessons.run $(ARGS)

lessons-check: $(VENV)/.for-work  ## every lesson solved, and as a student who first makes every planted mistake
	$(BIN)/python -m pytest -n 2 -m lesson tests/lessons $(ARGS)

kernels-check: $(VENV)/.for-work  ## the Triton kernels: interpreted where there is no GPU, then compiled for every card (long)
	$(BIN)/python -m pytest -n 2 -m kernel tests/kernels $(ARGS)

mutants: $(VENV)/.for-work  ## do the tests notice the slips that others have made?
	$(BIN)/python tests/mutants.py $(ARGS)

lint: $(VENV)/.for-work  ## ruff and pyright
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python

docs-files: $(VENV)/.for-work  ## write docs/FILES.md, the list of all files, from their docstrings
	$(BIN)/python docs/make_files.py

# benchmarks/objectives.py and codebooks.py train, for half an hour and more, and are run by hand.
BENCHMARKS ?= digits samplers mcmc attention group_norm roofline unet codegen
bench: $(VENV)/.for-work  ## the benchmarks, one file a question (BENCHMARKS="digits mcmc" says which)
	@set -e; for name in $(BENCHMARKS); do echo "== $$name"; $(BIN)/python benchmarks/$$name.py; done

gpu: $(VENV)/.for-work  ## on a CUDA card: the kernels' tests, then attention, GroupNorm and the U-Net, with a plot
	@$(BIN)/python benchmarks/gpu.py $(ARGS)

# Everything that is shipped in minidiffusion/weights/picturebook, from nothing but this repository. A stopped run goes on
# where it stopped. The order is that of the dependencies: the judge stands alone, the codebook needs CLIP, the tokens need
# the codebook, the U-Net the VAE and CLIP; it comes last, because it writes down which files belong together.
WEIGHTS ?= build/weights
# Each step frees blocks of megabytes that the next one needs again: glibc is told to keep them (a tenth faster).
weights: export MALLOC_MMAP_THRESHOLD_ := 4000000000
weights: export MALLOC_TRIM_THRESHOLD_ := 8000000000
weights: $(VENV)/.for-imagine  ## train every network again, then evaluate (hours; WEIGHTS=folder says where)
	$(BIN)/minidiffusion train judge --out $(WEIGHTS) --resume
	$(BIN)/minidiffusion train vae --out $(WEIGHTS) --resume
	$(BIN)/minidiffusion train upscaler --out $(WEIGHTS) --resume
	$(BIN)/minidiffusion train clip --out $(WEIGHTS) --resume
	$(BIN)/minidiffusion train codebook --out $(WEIGHTS) --resume
	$(BIN)/minidiffusion train tokens --out $(WEIGHTS) --resume
	$(BIN)/minidiffusion train unet --out $(WEIGHTS) --resume
	$(BIN)/minidiffusion evaluate --weights $(WEIGHTS) --out $(WEIGHTS)/evaluation.json --sheet $(WEIGHTS)/sheet.png
	$(BIN)/minidiffusion evaluate --weights $(WEIGHTS) --model tokens --out $(WEIGHTS)/tokens_evaluation.json
	$(BIN)/python benchmarks/choices.py > $(WEIGHTS)/choices.md
	$(BIN)/python -m minidiffusion.evaluation.model_card $(WEIGHTS)
	$(BIN)/minidiffusion train digits --out $(WEIGHTS)/digits --resume
	$(BIN)/python benchmarks/digits.py --weights $(WEIGHTS)/digits > $(WEIGHTS)/digits/evaluation.md
	$(BIN)/python -m minidiffusion.evaluation.model_card $(WEIGHTS)/digits

# Can the pins be installed elsewhere? uv reads package metadata only and downloads no wheel.
PLATFORMS := x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu x86_64-pc-windows-msvc aarch64-apple-darwin
PYTHONS := 3.11 3.13
check-pins: export MACOSX_DEPLOYMENT_TARGET := 14.0
check-pins: $(VENV)/.for-work  ## do constraints.txt and pyproject.toml resolve on Linux, Windows and macOS?
	@set -e; for platform in $(PLATFORMS); do for version in $(PYTHONS); do \
		$(BIN)/uv pip compile --quiet --all-extras --only-binary :all: -c constraints.txt \
			--python-platform $$platform --python-version $$version pyproject.toml > /dev/null; \
		echo "pins resolve: $$platform, Python $$version"; \
	done; done

# build/ holds trainings of hours (build/weights), pictures/ holds what somebody drew: neither can be made again quickly.
CACHES := .pytest_cache .ruff_cache .hypothesis
clean:  ## remove the virtual environment, caches and dist; pictures/ and build/ (trained weights) are kept
	rm -rf $(VENV) dist *.egg-info $(CACHES)
	find minidiffusion kernels benchmarks examples lessons tests docs -name __pycache__ -prune -exec rm -rf {} +

# The virtual environment, in three steps. A stamp is written only after its step succeeded, so that an interrupted
# installation starts again.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "minidiffusion needs Python 3.11 or newer; \
	'$(PYTHON)' is not (or is missing). Name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.for-imagine: $(VENV)/.made pyproject.toml constraints.txt
	@echo "installing minidiffusion into $(VENV); this takes minutes, once"
	$(PIP_INSTALL) -e .
	@touch $@

$(VENV)/.for-work: $(VENV)/.for-imagine
	@echo "installing what the tests and the lessons need as well"
	$(PIP_INSTALL) -e ".[dev,lessons,app,parity,kernels]"
	@touch $@

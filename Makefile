# SPDX-License-Identifier: Apache-2.0
# Every target installs what it lacks and says so; none needs another one to be run first.
# Which Python makes .venv; empty: the distribution's, else the first python3 of the path.
PYTHON ?=
# The build runs beside other work: nice, and no more jobs than cores.
NINJA := nice ninja
VENV := .venv/bin

.PHONY: help setup lock demo build asan tsan aarch64 driver-models faults fuzzers fuzz mutants spin sim bundle wheel test lint bench flood clean

help:
	@echo "make setup    system packages (Debian, as root) and the Python environment in .venv"
	@echo "make demo     the main job on two hosts of the lab: plan, apply, verify, a file over Tether, take it back"
	@echo "make build    the C library in build/native, and the packages of the E810 examples"
	@echo "make test     every tier that this machine can run, each with its count"
	@echo "make lint     ruff and mypy"
	@echo "make bench    benchmarks, results in build/bench"
	@echo "make soak     mixed traffic over udp and af_xdp, SOAK_SECONDS each (default 600), and its accounts"
	@echo "make bundle   what travels to hosts, for x86_64 and aarch64, in build/bundles"
	@echo "make wheel    the wheel, with both bundles inside, in dist"
	@echo "make fuzz     the fuzz targets, FUZZ_SECONDS each (default 60); DDP_INPUTS packages (default 1000000)"
	@echo "make sim      SIM_SEEDS seeds of the simulator (default 10000) and its broken cores; writes docs/proof/sim.md"
	@echo "make spin     the model of the protocol in larger sizes; writes docs/proof/model.md"
	@echo "make flood    FLOOD_FRAMES hostile frames (default 10 million) against a live engine, recorded in docs/proof"
	@echo "make mutants  the core with 40 MUSTs broken, one at a time: the test of each must notice (MUTANTS_SEED=N repeats)"
	@echo "make driver-models  200 plans applied to random machines of the driver models, and the planner's mutants"
	@echo "make faults   every fault at every journal point, on hosts and driver models (FAULTS_SEED=N repeats; about an hour)"
	@echo "make lock     a new requirements.lock from pyproject.toml"
	@echo "make clean    removes what the build made; .venv and the caches outside the tree stay"

setup:
	@PYTHON="$(PYTHON)" tools/setup

lock:
	$(or $(PYTHON),python3) tools/lock.py

# The packages of the E810 examples: made here of the profile, never tracked.
E810_PACKAGES := $(addprefix tests/cases/e810/,dpdk/own.pkg package/own.pkg signed-package/signed.pkg wrong-version/own.pkg)
$(E810_PACKAGES) &: profiles/e810/tether.yaml templates/e810/parser.ddp.j2 tests/support/e810_packages.py \
  $(wildcard tests/cases/e810/*/packages.yaml) | setup
	@nice $(VENV)/python -m tests.cases.test_e810_folders

build: setup $(E810_PACKAGES)
	@cmake --preset native --log-level=WARNING >/dev/null
	@$(NINJA) -C build/native --quiet

asan tsan: setup
	@cmake --preset $@ --log-level=WARNING >/dev/null
	@$(NINJA) -C build/$@ --quiet

aarch64: setup
	@tools/cross-libcrypto
	@cmake --preset $@ --log-level=WARNING >/dev/null
	@$(NINJA) -C build/$@ --quiet

bundle: build aarch64
	@$(VENV)/python tools/bundle.py

demo: bundle
	@$(VENV)/python demo/run.py

wheel: bundle
	@$(VENV)/python tools/wheel.py

test: bundle asan tsan fuzzers
	@$(VENV)/python tools/run_tests.py

lint: setup
	@$(VENV)/ruff check .
	@$(VENV)/mypy

bench: build
	@$(VENV)/python bench/run.py

fuzzers: setup
	@cmake --preset fuzz --log-level=WARNING >/dev/null
	@$(NINJA) -C build/fuzz --quiet

SOAK_SECONDS ?= 600
soak: build
	@$(VENV)/python -m tests.support.soak --carrier udp --seconds $(SOAK_SECONDS)
	@$(VENV)/python -m tests.support.soak --carrier af_xdp --seconds $(SOAK_SECONDS)

FLOOD_FRAMES ?= 10000000
flood: build
	@nice $(VENV)/python tools/flood.py $(FLOOD_FRAMES)

MUTANTS_SEED ?=
mutants: setup
	@nice $(VENV)/python tools/mutants.py --record $(if $(MUTANTS_SEED),--seed $(MUTANTS_SEED))

DRIVER_MODELS ?= 200
driver-models: build
	@nice $(VENV)/python tools/driver_models.py --applied $(DRIVER_MODELS) --record docs/proof/driver-models.md

FAULTS_SEED ?=
faults: bundle
	@nice $(VENV)/python tools/faults.py --record docs/proof/faults.md $(if $(FAULTS_SEED),--seed $(FAULTS_SEED))

SIM_SEEDS ?= 10000
sim: build
	@nice $(VENV)/python tools/simulate.py --seeds $(SIM_SEEDS) --breaks --record docs/proof/sim.md

FUZZ_SECONDS ?= 60
DDP_INPUTS ?= 1000000
fuzz: fuzzers
	@$(VENV)/python tools/run_tests.py --fuzz-seconds $(FUZZ_SECONDS) fuzz
	@$(VENV)/python -m tests.support.ddp_fuzz --inputs $(DDP_INPUTS) --record docs/proof/ddp-fuzz.md

spin: setup
	@$(VENV)/python tools/model.py --large

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/cases/e810/*/*.pkg

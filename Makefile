# SPDX-License-Identifier: Apache-2.0
# Every target installs what it lacks and says so; none needs another one to be run first.
PYTHON ?= python3
# The build runs beside other work: nice, and no more jobs than cores.
NINJA := nice ninja
VENV := .venv/bin

.PHONY: help setup system lock build asan tsan aarch64 fuzz bundle wheel test lint bench clean

help:
	@echo "make setup    system packages (Debian, as root) and the Python environment in .venv"
	@echo "make build    the C library in build/native"
	@echo "make test     every tier that this machine can run, each with its count"
	@echo "make lint     ruff and mypy"
	@echo "make bench    benchmarks, results in build/bench"
	@echo "make bundle   what travels to hosts, for x86_64 and aarch64, in build/bundles"
	@echo "make wheel    the wheel, with both bundles inside, in dist"
	@echo "make fuzz     the fuzz targets, FUZZ_SECONDS each (default 60)"
	@echo "make lock     a new requirements.lock from pyproject.toml"
	@echo "make clean    removes what the build made; .venv and the caches outside the tree stay"

setup:
	@PYTHON="$(PYTHON)" tools/setup

lock:
	$(PYTHON) tools/lock.py

build: setup
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

wheel: bundle
	@$(VENV)/python tools/wheel.py

test: bundle asan tsan
	@$(VENV)/python tools/run_tests.py

lint: setup
	@$(VENV)/ruff check .
	@$(VENV)/mypy

bench: build
	@$(VENV)/python bench/run

FUZZ_SECONDS ?= 60
fuzz: setup
	@cmake --preset fuzz --log-level=WARNING >/dev/null
	@$(NINJA) -C build/fuzz --quiet
	@for target in build/fuzz/fuzz/*; do \
	    [ -x "$$target" ] || continue; \
	    corpus=build/fuzz/corpus/$${target##*/}; mkdir -p "$$corpus"; \
	    "$$target" -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 "$$corpus" || exit 1; \
	done

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

# SPDX-License-Identifier: Apache-2.0
"""What a frame costs, in instructions: the count stays under its ceiling, and the header is read without a branch."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench import core

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "tether_hw" / "transport" / "core"
# Per data frame, both ends' transmit and receive, without the library's AEAD calls and payload copies: as measured in
# docs/measured.md and a twentieth more. Whoever makes the path shorter lowers it.
CEILING = 645
DECODE = """
#include "wire.h"
void decode(struct tether_header *header, const uint8_t *wire);
void decode(struct tether_header *header, const uint8_t *wire)
{
    tether_wire_decode(header, wire);
}
"""
# What may change where execution goes on: x86-64 (all jumps but jmp, loops, calls) and ARM64.
BRANCHES = {
    "": re.compile(r"\t(j(?!mp)[a-z]+|loop\w*|call\w*)\b"),
    "aarch64-linux-gnu-": re.compile(r"\t(b\.[a-z]+|cbn?z|tbn?z|bl|blr)\b"),
}


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="needs valgrind")
def test_a_frame_costs_no_more_than_its_ceiling() -> None:
    if not core.PROGRAM.exists():
        pytest.skip("needs build/native (make build)")
    document = core.per_frame("aes-256-gcm", 1000)
    for end in ("send", "receive"):
        parts = document[end]
        assert parts["copies"] < 100, "the frame path copies no payload but through the cipher"
        assert parts["aead"] > 1408 / 4, "the library's calls were not found in the profile"
        assert parts["header_and_ledger"] > 1, "the header's lines were not found in the profile"
    assert 100 < document["without_aead_and_copies"] < CEILING


@pytest.mark.parametrize("compiler", ["gcc", "clang", "aarch64-linux-gnu-gcc"])
@pytest.mark.parametrize("level", ["-O2", "-O3"])
@pytest.mark.proves("T-HDR-15")
def test_the_header_is_read_without_a_conditional_jump(compiler: str, level: str, tmp_path: Path) -> None:
    prefix = "aarch64-linux-gnu-" if compiler.startswith("aarch64") else ""
    if shutil.which(compiler) is None or shutil.which(f"{prefix}objdump") is None:
        pytest.skip(f"needs {compiler} and {prefix}objdump")
    source, made = tmp_path / "decode.c", tmp_path / "decode.o"
    source.write_text(DECODE)
    includes = [f"-I{SOURCES / 'src'}", f"-I{SOURCES / 'include'}"]
    subprocess.run([compiler, "-std=c11", level, *includes, "-c", "-o", made, source], check=True)
    listing = subprocess.run([f"{prefix}objdump", "-d", "--no-show-raw-insn", made], check=True, capture_output=True,
                             text=True).stdout  # fmt: skip
    lines = [line for line in listing.splitlines() if re.match(r"\s+[0-9a-f]+:\t", line)]
    assert len(lines) > 20
    assert [line for line in lines if BRANCHES[prefix].search(line)] == []


def test_a_branch_would_be_found() -> None:
    assert BRANCHES[""].search("  4:\tjne    10 <decode+0x10>")
    assert not BRANCHES[""].search("  4:\tjmp    10 <decode+0x10>")
    assert BRANCHES["aarch64-linux-gnu-"].search("  4:\tcbz\tx0, 10")


@pytest.mark.skipif(sys.platform != "linux", reason="built on Linux")
def test_threads_take_every_slot_of_a_ledger_once() -> None:
    if not core.LEDGER.exists():
        pytest.skip("needs build/native (make build)")
    assert [row["debits"] for row in core.threads(3)] == [4000000] * 3

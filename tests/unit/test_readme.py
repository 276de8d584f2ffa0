# SPDX-License-Identifier: Apache-2.0
"""The README's program runs, and its links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.support.readme import ROOT, blocks


@pytest.mark.parametrize("program", blocks("python"))
def test_programs_run(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "b'hello from a'\n"


def test_links_lead_somewhere() -> None:
    found = re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert found
    assert [link for link in found if not (ROOT / link).exists()] == []

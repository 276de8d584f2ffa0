# SPDX-License-Identifier: Apache-2.0
"""Write tests/protocol/vectors/NAME.{json,txt} from the Python reference. Same input, same bytes, on every machine.

Each case is flat, so that a C program can read it: the .txt form has one `key = value` a line and a blank line
between cases. Integers are decimal, byte strings lower-case hex (`-` when empty), lists space-separated.
`python tests/protocol/generate_vectors.py` rewrites the files; a test fails when they differ from what it makes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.protocol.cases import cryptography, numbers, refused, tags

GROUPS = {
    "header": numbers.header_cases, "float16": numbers.float16_cases, "serial": numbers.serial_cases,
    "replay": numbers.replay_cases, "tags": tags.tags_cases, "mac1": cryptography.mac1_cases,
    "cookie": cryptography.cookie_cases, "warm": cryptography.warm_cases,
    "noise": cryptography.noise_cases, "keys": cryptography.keys_cases, "frames": cryptography.frames_cases,
    "bad_frames": refused.bad_frames_cases, "bad_hails": refused.bad_hails_cases,
}  # fmt: skip
# Which requirements of RFC 0001 the group fails for when an implementation breaks them; tools/requirements.py reads it.
PROVES: dict[str, list[str]] = {
    "header": ["T-FRM-1"],
    "float16": ["T-FLT-1", "T-FLT-2", "T-FLT-3"],
    "serial": ["T-SER-1", "T-SER-2", "T-SER-3"],
    "replay": ["T-RPW-1", "T-RPW-2"],
    "tags": ["T-TAG-1", "T-TAG-2", "T-TAG-3", "T-TAG-4", "T-MAN-1", "T-CLS-3"],
    "mac1": ["T-MAC-1", "T-MAC-2"],
    "warm": ["T-WRM-1", "T-WRM-4"],
    "cookie": ["T-CKE-1", "T-CKE-2", "T-CKE-3"],
    "noise": ["T-NOI-1", "T-NOI-2", "T-NOI-5", "T-HAI-1", "T-RPL-1"],
    "keys": ["T-KEY-1"],
    "frames": ["T-FRM-2", "T-FRM-3", "T-SEA-1", "T-SEA-2", "T-KEY-1"],
    "bad_frames": [
        "T-FRM-2", "T-FRM-4", "T-FRM-5", "T-HDR-2", "T-EPO-1", "T-EPO-2", "T-SEA-3", "T-RPW-2", "T-ORD-1",
    ],
    "bad_hails": ["T-HAI-1", "T-HAI-2", "T-HAI-3", "T-HAI-4", "T-HAI-5", "T-MAC-2", "T-NOI-3", "T-LMP-4", "T-ORD-2"],
}  # fmt: skip
FOLDER = Path(__file__).with_name("vectors")


def plain(value: object) -> object:
    """A value as JSON has it: bytes as hex."""
    return value.hex() if isinstance(value, bytes) else value


def flat(value: object) -> str:
    """A value as the text form has it."""
    if isinstance(value, list):
        return " ".join(str(item) for item in value) or "-"
    return str(plain(value)) or "-"


def render(name: str) -> dict[str, str]:
    """Return {file name: content} of one group."""
    doc = (GROUPS[name].__doc__ or "").split("\n")[0]
    cases = [{key: plain(value) for key, value in case.items()} for case in GROUPS[name]()]
    assert len({case["case"] for case in cases}) == len(cases), f"{name}: two cases of one name"
    lines = ",\n".join(json.dumps(case) for case in cases)
    text = "".join("\n" + "".join(f"{key} = {flat(value)}\n" for key, value in case.items()) for case in cases)
    return {
        f"{name}.json": f'{{"schema": "tether.vectors/1", "name": "{name}", "about": {json.dumps(doc)}, '
        f'"proves": {json.dumps(PROVES[name])}, "cases": [\n'
        f"{lines}\n]}}\n",
        f"{name}.txt": f"# {doc}\n{text}",
    }


def main() -> int:
    """Write all files."""
    FOLDER.mkdir(exist_ok=True)
    for name in GROUPS:
        for file, content in render(name).items():
            (FOLDER / file).write_text(content, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

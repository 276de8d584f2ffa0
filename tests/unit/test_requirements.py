# SPDX-License-Identifier: Apache-2.0
"""The table of requirements: what it finds in the RFC and in tests, and what it calls wrong."""

from __future__ import annotations

from pathlib import Path

from tools import requirements

RFC = """
MUST and SHOULD are used as in RFC 2119 and RFC 8174.
- `T-ABC-1` A frame MUST be whole, or
  it is dropped.
- `T-ABC-2` A frame SHOULD be small.
- `T-ABC-3` *planned*: a frame MUST sing.
- `T-ABC-4` Frames are MAY flies (T-ABC-1).

```
a drawing that MUST be left alone
```
"""

C = """
static void helper(int a)
{
    PROVES("T-ABC-9");
}

static void one(void)
{
    PROVES("T-ABC-1",
           "T-ABC-2");
}

int main(int argc, char **argv)
{
    RUN(one);
    RUN(two, 5);
}
"""

PYTEST = """
@pytest.mark.parametrize("x", [1])
@pytest.mark.proves("T-ABC-1", "T-ABC-4")
def test_it(x): ...

@pytest.mark.proves(NAME)
def test_other(): ...
"""


def test_the_rfc_is_read() -> None:
    items, errors = requirements.read_rfc(RFC, "rfc")
    assert errors == []
    assert [(item.id, item.line, item.level) for item in items] == [
        ("T-ABC-1", 3, "MUST"), ("T-ABC-2", 5, "SHOULD"), ("T-ABC-3", 6, "planned"), ("T-ABC-4", 7, "MAY"),
    ]  # fmt: skip
    assert items[0].text == "A frame MUST be whole, or it is dropped."


def test_what_is_wrong_with_an_rfc_is_said_with_its_line() -> None:
    wrong = "- `T-ABC-1` One MUST.\n- `T-ABC-1` Two MUST.\nA stray MUST NOT, see T-XYZ-7.\n"
    _items, errors = requirements.read_rfc(wrong, "rfc")
    assert errors == [
        "rfc:2: T-ABC-1 stands twice",
        "rfc:3: a MUST without an id: A stray MUST NOT, see T-XYZ-7.",
        "rfc:3: T-XYZ-7 is named and nowhere to be found",
    ]


def test_tags_of_c_tests() -> None:
    tags, errors = requirements.c_tags(C, "test_x.c")
    assert tags == {"helper": ["T-ABC-9"], "one": ["T-ABC-1", "T-ABC-2"]}
    assert errors == ["test_x.c:4: PROVES in helper, which RUN does not name"]


def test_tags_of_pytest() -> None:
    tags, errors = requirements.python_tags("import pytest\n" + PYTEST, "test_x.py")
    assert tags == {"test_it": ["T-ABC-1", "T-ABC-4"], "test_other": []}
    assert errors == ["test_x.py:7: proves takes ids as strings, on a test"]


def test_a_tree(tmp_path: Path) -> None:
    for name, text in {
        str(requirements.RFC): RFC,
        "tether_hw/transport/core/tests/test_x.c": C.replace("T-ABC-9", "T-ABC-2").replace("two, 5", "helper"),
        "tests/protocol/vectors/keys.json": '{"proves": ["T-ABC-1", "T-ABC-7"]}',
        "tether_hw/sim/scenarios/mars.yaml": "proves: [T-ABC-4]\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = requirements.scan(tmp_path)
    assert found.tests == {
        "T-ABC-1": ["test_x one", "vectors keys"],
        "T-ABC-2": ["test_x helper", "test_x one"],
        "T-ABC-4": ["scenario mars"],
    }
    assert found.errors == [
        "tests/protocol/vectors/keys.json: vectors keys proves T-ABC-7, which RFC 0001 does not have"
    ]
    assert found.untested() == []
    assert "| T-ABC-1 | MUST | A frame MUST be whole, or it is dropped. | `test_x one`<br>`vectors keys` |" in (
        requirements.page(found)
    )
    del found.tests["T-ABC-1"]
    assert [item.id for item in found.untested()] == ["T-ABC-1"]


def test_every_must_of_this_tree_has_a_test_and_the_table_says_which() -> None:
    """The table is made by tools/requirements.py."""
    found = requirements.scan()
    assert found.errors == []
    assert [item.id for item in found.untested()] == []
    assert (requirements.ROOT / requirements.PAGE).read_text(encoding="utf-8") == requirements.page(found)

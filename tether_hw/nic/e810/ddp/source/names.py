# SPDX-License-Identifier: Apache-2.0
"""What a source declares by name, and the words that stand for numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

from tether_hw.nic.e810.ddp.fields import NO_MARKER
from tether_hw.nic.e810.ddp.source.words import Line, Mistake, Told, Word, Wrong, number

#: Declaring keyword -> label kind, first and last number.
DECLARED = {
    "protocol": ("protocol", 0, 254),
    "marker": ("marker", 0, NO_MARKER - 1),
    "flag": ("flag", 0, 63),
    "ptype": ("ptype", 0, 1023),
    "node": ("node", 0, 2047),
    "program": ("program", 0, 191),
    "boost": ("boost", 0, 255),
    "marks": ("marker_group", 0, 127),
    "protocols": ("protocol_group", 0, 191),
}
#: Things that the hardware or a driver gives no number to: the first free one is taken.
NUMBERED = {"node", "program", "boost", "marks", "protocols", "marker", "flag"}

ALU_OPS = {"park": 0, "mov_add": 1, "add": 2, "mov_xor": 9, "set_eq": 19, "or_eq": 21, "or_lt": 30}
OFFSET_OPS = {"here": 0, "plus": 1, "minus": 2, "keep": 3}
REGISTERS = {"header": 64, "error": 84, "flags": 104, "tsr": 108, "node": 109, "ho": 110, "pc": 111}
#: Symbolic values of fields, by the last part of the field's name.
VALUES = {"op": ALU_OPS, "offset_op": OFFSET_OPS, "source": REGISTERS, "target": REGISTERS}


#: Characters that a label of a package file holds, and the package's own name there.
MOST_LABEL, MOST_PACKAGE_NAME = 63, 27


def fits(word: Word, what: str, most: int) -> None:
    """Refuse a name that the package file cannot hold as it is."""
    if len(word.text) > most:
        raise word.wrong(f"{what} has {len(word.text)} characters, at most {most} fit")
    if any(not 0x20 <= ord(one) <= 0xFF or 0x7F <= ord(one) < 0xA0 for one in word.text):
        raise word.wrong(f"{what} has a character that a package cannot hold", "letters of Latin-1 are held")


@dataclass
class Names:
    """Label kind -> name -> number; `taken` has the numbers that are in use without a name."""

    numbers: dict[str, dict[str, int]] = field(default_factory=dict)
    taken: dict[str, set[int]] = field(default_factory=dict)
    #: (kind, name) of declarations with a mistake: what refers to them needs no mistake of its own.
    broken: set[tuple[str, str]] = field(default_factory=set)

    def declare(self, lines: list[Line], mistakes: list[Mistake]) -> None:
        """Collect every `KEYWORD NAME = NUMBER`, then number the ones without a number in the order of the source."""
        waiting: list[tuple[str, Word]] = []
        for line in lines:
            keyword = line.peek()
            if keyword not in DECLARED:
                continue
            words = Line(line.words, line.number, 0)
            words.take("a keyword")
            try:
                self._declare(keyword, words, waiting)
            except Wrong as wrong:
                mistakes.append(wrong.mistake)
                if len(line.words) > 1:
                    self.broken.add((DECLARED[keyword][0], line.words[1].text))
        for keyword, word in waiting:
            kind, first, last = DECLARED[keyword]
            known = self.numbers.setdefault(kind, {})
            if word.text in known:
                continue
            free = self._free(kind, first + (keyword == "node"), last)
            if free is None:
                mistakes.append(Mistake(word.line, word.col, f"no number is free for {keyword} {word.text}"))
                self.broken.add((kind, word.text))
            else:
                known[word.text] = free

    def _declare(self, keyword: str, words: Line, waiting: list[tuple[str, Word]]) -> None:
        kind, first, last = DECLARED[keyword]
        name = words.name(f"the name of a {keyword}")
        fits(name, f"the name of a {keyword}", MOST_LABEL)
        if not words.skip("="):
            if keyword not in NUMBERED:
                raise name.wrong(f"{keyword} {name.text} needs its number: {keyword} {name.text} = N")
            waiting.append((keyword, name))
            return
        value = words.number_of(f"the number of {keyword} {name.text}", first, last)
        known = self.numbers.setdefault(kind, {})
        if known.get(name.text, value) != value:
            raise name.wrong(f"{keyword} {name.text} is {known[name.text]} already")
        other = next((text for text, taken in known.items() if taken == value and text != name.text), None)
        if other is not None:
            raise name.wrong(f"{value} is {keyword} {other} already")
        known[name.text] = value

    def _free(self, kind: str, first: int, last: int) -> int | None:
        used = set(self.numbers.get(kind, {}).values()) | self.taken.get(kind, set())
        return next((value for value in range(first, last + 1) if value not in used), None)

    def resolve(self, keyword: str, word: Word) -> int:
        """The number of a thing by its name, or a number itself."""
        kind, first, last = DECLARED[keyword]
        known = self.numbers.get(kind, {})
        if word.text in known:
            return known[word.text]
        if not word.quoted and word.text[:1].isdigit():
            return number(word, f"a {keyword}", first, last)
        if (kind, word.text) in self.broken:
            raise Told(Mistake(word.line, word.col, f"no {keyword} is named {word.text}"))
        near = sorted(name for name in known if name.lower() == word.text.lower())
        raise word.wrong(f"no {keyword} is named {word.text}", f"there is {near[0]}" if near else None)

    def labels(self) -> dict[str, dict[int, str]]:
        """As label sections have them."""
        return {kind: {value: name for name, value in known.items()} for kind, known in self.numbers.items() if known}


def register(word: Word) -> int:
    """A register by its name or number: header, flags, ho ... or r0 to r127."""
    if word.text in REGISTERS:
        return REGISTERS[word.text]
    text = word.text[1:] if word.text.startswith("r") else word.text
    return number(Word(text, word.line, word.col), "a register", 0, 127)

# SPDX-License-Identifier: Apache-2.0
"""Lines of a source as words with their columns, and mistakes with their lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_WORD = re.compile(r"""\s*(?:(?P<comment>\#.*)|"(?P<quoted>[^"\n]*)"|(?P<sign>->|[:=+/,])|(?P<bare>[^\s"#:=+/,]+))""")
_BARE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\Z")
MOST_LINES = 100_000
MOST_MISTAKES = 200


@dataclass(frozen=True, order=True)
class Mistake:
    """One mistake of a source. Lines and columns count from 1."""

    line: int
    col: int
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        return f"{self.line}:{self.col}: {self.message}"


class SourceError(ValueError):
    """A source with mistakes, all of them."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = sorted(mistakes)


class Wrong(Exception):
    """The mistake that ends the reading of one line."""

    def __init__(self, mistake: Mistake) -> None:
        super().__init__(str(mistake))
        self.mistake = mistake


class Told(Wrong):
    """What ends the reading of a line for a mistake that is told where it was made."""


@dataclass(frozen=True)
class Word:
    """One word; `quoted` words are names whatever they look like."""

    text: str
    line: int
    col: int
    quoted: bool = False

    def wrong(self, message: str, hint: str | None = None) -> Wrong:
        """A mistake at this word."""
        return Wrong(Mistake(self.line, self.col, message, hint))


class Line:
    """The words of one line, taken from the left."""

    def __init__(self, words: list[Word], number: int, width: int) -> None:
        self.words = words
        self.number = number
        self._end = Word("", number, width + 1)
        self._at = 0

    @property
    def more(self) -> bool:
        return self._at < len(self.words)

    def peek(self) -> str:
        """The next word's text; empty at the end or when it is quoted."""
        return self.words[self._at].text if self.more and not self.words[self._at].quoted else ""

    def take(self, what: str) -> Word:
        """The next word; `what` names what should stand there."""
        if not self.more:
            raise self._end.wrong(f"{what} should follow")
        self._at += 1
        return self.words[self._at - 1]

    def skip(self, text: str) -> bool:
        """Take the next word if it is `text`."""
        if self.peek() != text:
            return False
        self._at += 1
        return True

    def expect(self, text: str) -> None:
        """The next word must be `text`."""
        word = self.take(f"{text!r}")
        if word.text != text or word.quoted:
            raise word.wrong(f"{text!r} should stand here, not {word.text!r}")

    def number_of(self, what: str, least: int = 0, most: int = 0xFFFF_FFFF) -> int:
        """A number, decimal or 0x..., within bounds."""
        return number(self.take(what), what, least, most)

    def name(self, what: str) -> Word:
        """A name, quoted or not."""
        word = self.take(what)
        if not word.quoted and not _BARE_NAME.match(word.text):
            raise word.wrong(
                f"{what} should stand here, {word.text!r} is no name", "quote a name with other characters"
            )
        return word

    def end(self) -> None:
        """Nothing may be left."""
        if self.more:
            word = self.words[self._at]
            raise word.wrong(f"{word.text!r} is not understood here")


def number(word: Word, what: str, least: int = 0, most: int = 0xFFFF_FFFF) -> int:
    """The number that a word is."""
    try:
        value = int(word.text, 16 if word.text.lower().startswith("0x") else 10)
    except ValueError:
        raise word.wrong(f"{what} should be a number, not {word.text!r}") from None
    if word.quoted or word.text.startswith(("-", "_")) or not least <= value <= most:
        raise word.wrong(f"{what} is {word.text}, {least} to {most} can be")
    return value


def quote(name: str) -> str:
    """A name as a source writes it."""
    return name if _BARE_NAME.match(name) else f'"{name}"'


def lines(text: str, mistakes: list[Mistake]) -> Iterator[Line]:
    """Every line that has words. A character that fits no word is a mistake, and its line is left out."""
    for row, content in enumerate(text.splitlines()[:MOST_LINES], 1):
        words, at, good = [], 0, True
        while at < len(content):
            found = _WORD.match(content, at)
            if found is None:
                if content[at:].strip():
                    col = at + len(content[at:]) - len(content[at:].lstrip()) + 1
                    mistakes.append(
                        Mistake(row, col, f"{content[at:].strip()[0]!r} begins no word", "close the quotes")
                    )
                    good = False
                break
            at = found.end()
            for kind in ("quoted", "sign", "bare"):
                if found[kind] is not None:
                    col = found.start(kind) + (kind != "quoted")
                    words.append(Word(found[kind], row, col, quoted=kind == "quoted"))
        if words and good:
            yield Line(words, row, len(content))
    if text.count("\n") > MOST_LINES:
        mistakes.append(Mistake(MOST_LINES, 1, f"a source has at most {MOST_LINES} lines"))

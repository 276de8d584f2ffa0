# SPDX-License-Identifier: Apache-2.0
"""The little of SVG that the picture needs: text, axes with sensible steps, and many marks as one path."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

_TIME_UNITS = ((1, "ns"), (1_000, "µs"), (1_000_000, "ms"), (1_000_000_000, "s"), (60_000_000_000, "min"))


def number(value: float) -> str:
    """A coordinate: one decimal at most, no needless zero, the same on every machine."""
    text = f"{value:.1f}"
    return text.removesuffix(".0") if text != "-0.0" else "0"


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "", extra: str = "") -> str:
    """One line of text."""
    classes = f' class="{kind}"' if kind else ""
    where = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{number(x)}" y="{number(y)}"{classes}{where}{extra}>{escape(words)}</text>'


def path(kind: str, data: str, title: str = "") -> str:
    """A path of a class; nothing when it is empty."""
    if not data:
        return ""
    inner = f"<title>{escape(title)}</title>" if title else ""
    return f'<path class="{kind}" d="{data}">{inner}</path>' if inner else f'<path class="{kind}" d="{data}"/>'


def nice_step(span: float, most: int) -> float:
    """The smallest of 1, 2, 5 times a power of ten that divides the span into at most so many parts."""
    step = 1.0
    while span / step > most:
        step *= 10
    while step > 1e-9 and span / (step / 10) <= most:
        step /= 10
    for part in (0.2, 0.5):
        if span / (step * part) <= most:
            return step * part
    return step


@dataclass(frozen=True)
class Scale:
    """Values from `low` to `high` onto coordinates from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The coordinate of a value."""
        span = self.high - self.low or 1
        return self.start + (value - self.low) / span * (self.end - self.start)

    def ticks(self, most: int) -> list[float]:
        """Round values inside the scale."""
        step = nice_step(self.high - self.low or 1, most)
        first = -(-self.low // step)
        ticks = []
        while first * step <= self.high + step * 1e-9:
            ticks.append(first * step + 0.0)  # never -0
            first += 1
        return ticks


def time_unit(span_ns: float) -> tuple[int, str]:
    """The unit in which a span of time reads best: ns in it, and its name."""
    best = _TIME_UNITS[0]
    for size, name in _TIME_UNITS:
        if span_ns >= 3 * size:
            best = (size, name)
    return best


def plain(value: float) -> str:
    """A label: thousands set apart by thin spaces, no needless decimals."""
    if abs(value - round(value)) < 1e-6:
        return f"{round(value):,}".replace(",", "\u2009")
    return f"{value:.6g}"


def size_of(count: float) -> str:
    """Bytes in binary units."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.3g} {unit}" if count % 1 or unit != "B" else f"{count:.0f} B"
        count /= 1024
    raise AssertionError


class Marks:
    """Marks of one kind on a grid of half pixels: what falls together is drawn once, so a picture has a bounded size.

    `bar` covers rows of one column; `points` are the columns and rows of single marks.
    """

    def __init__(self) -> None:
        self._columns: dict[int, list[tuple[int, int]]] = {}

    def bar(self, x: float, top: float, bottom: float, least: float = 0) -> None:
        """A vertical piece, at least so tall."""
        if bottom - top < least:
            top, bottom = (top + bottom - least) / 2, (top + bottom + least) / 2
        column = self._columns.setdefault(round(x * 2), [])
        rows = (round(top * 2), max(round(bottom * 2), round(top * 2) + 1))
        if not column or column[-1] != rows:
            column.append(rows)

    def merged(self) -> list[tuple[float, float, float]]:
        """(x, top, bottom) of what is left after pieces of a column that touch became one."""
        found = []
        for column, pieces in sorted(self._columns.items()):
            pieces.sort()
            low, high = pieces[0]
            for top, bottom in pieces[1:]:
                if top <= high:
                    high = max(high, bottom)
                else:
                    found.append((column / 2, low / 2, high / 2))
                    low, high = top, bottom
            found.append((column / 2, low / 2, high / 2))
        return found

    def bars(self) -> str:
        """Path data: each piece a stroke."""
        return "".join(f"M{number(x)} {number(top)}V{number(bottom)}" for x, top, bottom in self.merged())

    def crosses(self, size: float) -> str:
        """Path data: a cross in the middle of each piece."""
        data = []
        for x, top, bottom in self.merged():
            y = (top + bottom) / 2
            data.append(
                f"M{number(x - size)} {number(y - size)}l{number(2 * size)} {number(2 * size)}"
                f"m0 {number(-2 * size)}l{number(-2 * size)} {number(2 * size)}"
            )
        return "".join(data)

    def diamonds(self, size: float) -> str:
        """Path data: a diamond in the middle of each piece."""
        data = []
        for x, top, bottom in self.merged():
            y = (top + bottom) / 2
            s = number(size)
            data.append(f"M{number(x)} {number(y - size)}l{s} {s}l-{s} {s}l-{s} -{s}z")
        return "".join(data)

    def __bool__(self) -> bool:
        return bool(self._columns)


def steps(points: list[tuple[float, float]], end: float) -> str:
    """Path data of a line that stays and jumps, on half pixels, up to x = `end`."""
    if not points:
        return ""
    data, last_x, last_y = [], None, None
    for x, y in points:
        column, row = round(x * 2) / 2, round(y * 2) / 2
        if last_x is None:
            data.append(f"M{number(column)} {number(row)}")
        elif row == last_y:
            continue
        else:
            data.append(f"H{number(column)}" if column != last_x else "")
            data.append(f"V{number(row)}")
        last_x, last_y = column, row
    data.append(f"H{number(end)}")
    return "".join(data)

# SPDX-License-Identifier: Apache-2.0
"""The parse graph as a picture: one box per node, layers by distance from the start, the path of a frame lit."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape

from tether_hw.nic.e810.ddp.container import Package
from tether_hw.nic.e810.ddp.parser.machine import Result, Round
from tether_hw.nic.e810.ddp.source.decompile import Describer

_BOX_WIDTH, _LINE, _PAD, _GAP_X, _GAP_Y, _MARGIN, _TITLE = 300, 15, 8, 130, 26, 24, 56
_MOST_LINES = 40
_STYLE = """
svg { font: 11px ui-monospace, Menlo, Consolas, monospace; background: #fdfdfb; }
.box { fill: #fff; stroke: #55606e; }
.box.lit { fill: #fff6dc; stroke: #b06c00; stroke-width: 2; }
.name { font-weight: 700; font-size: 12px; fill: #1d2733; }
.line { fill: #3d4a58; }
.line.lit { fill: #9a4f00; font-weight: 700; }
.edge { fill: none; stroke: #9aa5b1; } .edge.lit { stroke: #d07f00; stroke-width: 2.5; }
.title { font-size: 15px; font-weight: 700; fill: #1d2733; }
.note { fill: #55606e; }
.mark { fill: #9aa5b1; }
.mark.lit { fill: #d07f00; }
"""


@dataclass
class _Box:
    node: int
    layer: int = 0
    lines: list[tuple[str, int | None, tuple[str, int]]] = field(
        default_factory=list
    )  # text, next node, (table, place)
    x: int = 0
    y: int = 0

    @property
    def height(self) -> int:
        return _PAD * 2 + _LINE * (1 + min(len(self.lines), _MOST_LINES))


def svg(package: Package, path: list[Round] | None = None, result: Result | None = None) -> str:
    """The graph of a package as SVG. With the rounds of a frame, what they went through is lit."""
    describer = Describer(package)
    boxes = _boxes(describer)
    width, height = _place(boxes)
    lit = {(step.table, step.entry) for step in path or ()}
    lit_nodes = {step.node for step in path or ()}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        f"<style>{_STYLE}</style>",
        f'<text class="title" x="{_MARGIN}" y="{_MARGIN + 4}">{escape(_title(describer))}</text>',
        f'<text class="note" x="{_MARGIN}" y="{_MARGIN + 22}">{escape(_note(describer, path, result))}</text>',
    ]
    edges, bodies = [], []
    for box in boxes.values():
        for place, (_text, target, entry) in enumerate(box.lines[:_MOST_LINES]):
            if target is not None and target in boxes:
                edges.append((entry in lit, _edge(box, place, boxes[target], entry in lit)))
        bodies.append(_body(box, describer, lit, box.node in lit_nodes))
    parts += [edge for _lit, edge in sorted(edges, key=lambda item: item[0])]
    return "\n".join([*parts, *bodies, "</svg>", ""])


def html(package: Package, path: list[Round] | None = None, result: Result | None = None) -> str:
    """A page with the graph and, for a frame, its rounds as a table."""
    rows = ""
    describer = Describer(package)
    for number, step in enumerate(path or (), 1):
        protocols = ", ".join(f"{describer.name('protocol', p)} at {at}" for p, at in step.protocols if p != 255)
        markers = ", ".join(describer.name("marker", marker) for marker in step.markers)
        names = (describer.name("node", step.node), describer.name("program", step.program))
        cells = [number, *names, step.offset, f"{step.next:#x}", f"{step.table} {step.entry}", protocols, markers]
        rows += "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in cells) + "</tr>\n"
    heads = ("round", "node", "program", "offset", "next", "entry", "protocols", "markers")
    head = "".join(f"<th>{name}</th>" for name in heads)
    table = f"<table><tr>{head}</tr>\n{rows}</table>" if rows else ""
    style = "body{font:14px system-ui;margin:1.5em}td,th{padding:.2em .8em;text-align:left}"
    style += "tr:nth-child(even){background:#f3f3ee}"
    title = escape(_title(describer))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{style}</style></head>\n"
        f"<body>\n{svg(package, path, result)}{table}\n</body></html>\n"
    )


def _title(describer: Describer) -> str:
    return f"{describer.tables.identity.name or 'a package without a name'}: RX parse graph"


def _note(describer: Describer, path: list[Round] | None, result: Result | None) -> str:
    if not path or result is None:
        return "each line of a node: what must be there, and where it leads"
    ptype = "none" if result.ptype == 0xFFFF else f"{result.ptype} ({describer.name('ptype', result.ptype)})"
    return f"lit: the way of the frame, {result.rounds} rounds, PTYPE {ptype}, stopped: {result.stopped}"


def _boxes(describer: Describer) -> dict[int, _Box]:
    boxes: dict[int, _Box] = {}
    for table, entry in describer.transitions():
        row = entry.row
        box = boxes.setdefault(row["node"], _Box(row["node"]))
        condition, target = describer.short(table, row)
        following = None if row["last"] else row["next_node"]
        box.lines.append((f"{condition} → {target}", following, (table, entry.index)))
        if following is not None:
            boxes.setdefault(following, _Box(following))
    start = describer.tables.by_index("start").get(0, {}).get("node", 0)
    layer, seen = [start], {start}
    depth = 0
    while layer:
        following_layer: list[int] = []
        for node in layer:
            if node not in boxes:
                continue
            boxes[node].layer = depth
            for _text, target_node, _entry in boxes[node].lines:
                if target_node is not None and target_node not in seen:
                    seen.add(target_node)
                    following_layer.append(target_node)
        layer = following_layer
        depth += 1
    for box in boxes.values():
        if box.node not in seen:
            box.layer = depth
    return boxes


def _place(boxes: dict[int, _Box]) -> tuple[int, int]:
    layers: dict[int, list[_Box]] = {}
    for box in boxes.values():
        layers.setdefault(box.layer, []).append(box)
    heights = {}
    for number in sorted(layers):
        y = _TITLE + _MARGIN
        for box in layers[number]:
            box.x, box.y = _MARGIN + number * (_BOX_WIDTH + _GAP_X), y
            y += box.height + _GAP_Y
        heights[number] = y
    width = _MARGIN * 2 + (max(layers, default=0) + 1) * (_BOX_WIDTH + _GAP_X) - _GAP_X
    return width, max(heights.values(), default=_TITLE) + _MARGIN


def _edge(box: _Box, place: int, target: _Box, lit: bool) -> str:
    x, y = box.x + _BOX_WIDTH, box.y + _PAD + _LINE * (place + 1) + 8
    to_x, to_y = target.x, target.y + _PAD + 7
    if target.layer <= box.layer:  # backwards: into the right side
        to_x += _BOX_WIDTH
        bend = max(x, to_x) + _GAP_X // 2
        curve = f"M{x} {y} C{bend} {y} {bend} {to_y} {to_x} {to_y}"
    else:
        bend = _GAP_X // 2
        curve = f"M{x} {y} C{x + bend} {y} {to_x - bend} {to_y} {to_x} {to_y}"
    kind = " lit" if lit else ""
    return f'<path class="edge{kind}" d="{curve}"/><circle class="mark{kind}" cx="{to_x}" cy="{to_y}" r="3"/>'


def _body(box: _Box, describer: Describer, lit: set[tuple[str, int]], lit_node: bool) -> str:
    kind = " lit" if lit_node else ""
    x, y = box.x + _PAD, box.y + _PAD + 10
    name = escape(describer.name("node", box.node))
    parts = [
        f'<rect class="box{kind}" x="{box.x}" y="{box.y}" width="{_BOX_WIDTH}" height="{box.height}" rx="5"/>',
        f'<text class="name" x="{x}" y="{y}">{name} ({box.node})</text>',
    ]
    shown = box.lines[:_MOST_LINES]
    for place, (text, _target, entry) in enumerate(shown, 1):
        if place == _MOST_LINES and len(box.lines) > _MOST_LINES:
            text = f"... and {len(box.lines) - _MOST_LINES + 1} more"
        line_kind = " lit" if entry in lit else ""
        cut = text if len(text) <= 43 else text[:42] + "…"
        parts.append(
            f'<text class="line{line_kind}" x="{x}" y="{y + _LINE * place}">'
            f"{escape(cut)}<title>{escape(text)}</title></text>"
        )
    return "\n".join(parts)

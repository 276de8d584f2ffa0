# SPDX-License-Identifier: Apache-2.0
"""The same parser at the speed of captures: a run depends only on the answers to its questions, so they are a tree.

Each node of the tree is a question, each branch an answer, each leaf a result. A frame that takes a new branch is
parsed by the plain machine, once; so the results are the plain machine's by construction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tether_hw.nic.e810.ddp.parser.machine import Machine, Result
from tether_hw.nic.e810.ddp.parser.reads import PARSED_BYTES, Frame, Kind, Question, Recorder

MOST_NODES = 200_000


class _Node:
    __slots__ = ("branches", "leaf", "question")

    def __init__(self, question: Question) -> None:
        self.question = question
        self.branches: dict[int, _Node] = {}
        self.leaf: Result | None = None


class Memo:
    """Parses frames by a machine and remembers its paths, at most MOST_NODES questions of them."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.misses = 0
        self._nodes = 0
        self._root: _Node | None = None

    def run(self, data: bytes) -> Result:
        """Parse one frame."""
        node = self._root
        length = len(data)
        cut = data[:PARSED_BYTES] if length > PARSED_BYTES else data
        while node is not None:
            if node.leaf is not None:
                return node.leaf
            kind, first, width, values, care, value = node.question
            answer: int
            if kind <= Kind.KNOWN:
                end = (first + width + 7) >> 3
                piece = cut[first >> 3 : end]
                if end > len(cut):
                    piece = piece.ljust(end - (first >> 3), b"\0")
                answer = int.from_bytes(piece, "big") >> (-(first + width) & 7) & (1 << width) - 1
                if kind == Kind.KNOWN and answer not in values:
                    answer = -1
            elif kind == Kind.LONGER:
                answer = length > first
            else:
                answer = int.from_bytes(cut[first : first + width], "little") & care == value
            node = node.branches.get(answer)
        return self._learn(data)

    def run_all(self, frames: Iterable[bytes]) -> Iterator[Result]:
        """Parse frames in turn."""
        return map(self.run, frames)

    def _learn(self, data: bytes) -> Result:
        self.misses += 1
        recorder = Recorder(Frame(data))
        result = self.machine.run(recorder)
        if self._nodes + len(recorder.asked) > MOST_NODES:
            return result
        node: _Node | None = None
        answer = 0
        for question, next_answer in recorder.asked:
            node = self._step(node, answer, question)
            answer = next_answer
        last = self._step(node, answer, Question(Kind.NONE))
        last.leaf = result
        return result

    def _step(self, node: _Node | None, answer: int, question: Question) -> _Node:
        found = self._root if node is None else node.branches.get(answer)
        if found is None:
            found = _Node(question)
            self._nodes += 1
            if node is None:
                self._root = found
            else:
                node.branches[answer] = found
        return found

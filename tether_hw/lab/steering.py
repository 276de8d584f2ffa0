# SPDX-License-Identifier: Apache-2.0
"""The switch's table: which port and which queue of its receiver a lane address belongs to, as one tc program.

The table is compiled into the program, so there is no map to keep and nothing to pin: to change the table is to put a
new program in its place.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tether_hw.lab.bpf import R0, R1, R2, R3, R4, R5, R6, R7, R8, SIZE_U16, Assembler

SKB_QUEUE_MAPPING, SKB_IFINDEX, SKB_DATA, SKB_DATA_END = 12, 40, 76, 80
HELPER_REDIRECT = 23
TC_ACT_UNSPEC, TC_ACT_SHOT = -1, 2
HEADER_BYTES = 14


@dataclass(frozen=True)
class Entry:
    """Frames to ``mac`` leave by the port with that interface index, into that receive queue of its host."""

    mac: str
    host: str
    port: int
    queue: int


def program(table: list[Entry]) -> bytes:
    """Code of the classifier: a lane's frame goes to its port and queue, every other to the bridge and queue 0.

    The kernel's transmit picker reads queue_mapping as "recorded receive queue + 1", so q + 1 is stored to get q.
    A frame for a lane behind the port that it came from is dropped, as a switch does.
    """
    code = Assembler()
    code.copy(R6, R1)
    code.load(R2, R6, SKB_DATA)
    code.load(R3, R6, SKB_DATA_END)
    code.move(R7, 1)
    code.store(R6, SKB_QUEUE_MAPPING, R7)
    code.copy(R4, R2)
    code.add(R4, HEADER_BYTES)
    code.jump_above(R4, R3, "bridge")
    code.load(R5, R2, 0)
    code.load(R4, R2, 4, SIZE_U16)
    code.load(R8, R6, SKB_IFINDEX)
    for number, entry in enumerate(table):
        octets = bytes.fromhex(entry.mac.replace(":", ""))
        following = f"after {number}"
        code.jump_not(R5, int.from_bytes(octets[:4], "little"), following)
        code.jump_not(R4, int.from_bytes(octets[4:], "little"), following)
        code.jump_is(R8, entry.port, "drop")
        code.move(R7, entry.queue + 1)
        code.store(R6, SKB_QUEUE_MAPPING, R7)
        code.move(R1, entry.port)
        code.move(R2, 0)
        code.call(HELPER_REDIRECT)
        code.exit()
        code.label(following)
    code.label("bridge")
    code.move(R0, TC_ACT_UNSPEC)
    code.exit()
    if table:  # the verifier refuses what can never run
        code.label("drop")
        code.move(R0, TC_ACT_SHOT)
        code.exit()
    return code.assemble()


def rotated(table: list[Entry], host: str) -> list[Entry]:
    """The table with every lane of one host sent to the queue of its next lane."""
    own = [entry for entry in table if entry.host == host]
    queues = [entry.queue for entry in own]
    wrong = dict(zip((entry.mac for entry in own), queues[1:] + queues[:1], strict=True))
    return [replace(entry, queue=wrong[entry.mac]) if entry.host == host else entry for entry in table]

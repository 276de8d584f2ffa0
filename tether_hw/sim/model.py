# SPDX-License-Identifier: Apache-2.0
"""What a scenario file says: nodes, links, channels, flows, and what happens to them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tether_hw.sim.units import Count, Rate, Share, Size, Span, Time, within

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,30}$")]
Cells = Annotated[Count, within(2, 1 << 22, "2 to 4194304 frames")]
Ring = Annotated[Count, within(4, 1 << 24, "4 to 16777216 frames")]
Blocks = Annotated[Count, within(5, 1023, "5 to 1023 blocks of 64 bytes")]
Drift = Annotated[Share, within(0, 100_000, "at most 10%")]
Some = Annotated[Time, within(1, 1 << 63, "more than 0")]
NOTHING = Span(0, 0)
LEAST_WINDOW, MOST_WINDOW = 64, 65536  # of the replay window, in frames


class Model(BaseModel):
    """Strict, closed, immutable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Node(Model):
    """An endpoint with its lanes, or something that is none. `count` of them are NAME0, NAME1 and so on."""

    kind: Literal["endpoint", "python", "switch", "attacker"] = "endpoint"
    count: int = Field(1, ge=1, le=1024)
    lanes: int = Field(1, ge=1, le=16)
    max_channels: int = Field(2, ge=1, le=4096)
    max_flows: int = Field(4, ge=1, le=4096)
    rx_cells: Cells = Span(1024, 1024)
    tx_cells: Cells = Span(1024, 1024)
    ring_frames: Ring | None = Field(None, description="a third more than rx_cells when left out")
    frame_blocks: Blocks = Span(22, 22)
    max_message: Size = Span(1 << 20, 1 << 20)
    rtt: Time | None = Field(None, description="declared; the scenario's when left out")
    rate: Rate | None = Field(None, description="declared; the scenario's when left out")
    silence: Time = Span(1_000_000, 1_000_000)
    clock: Time = Span(10**9, 10**9)
    drift: Drift = Field(NOTHING, description="its clock is faster by so much")
    slow: Drift = Field(NOTHING, description="its clock is slower by so much")
    cipher: Literal["any", "chacha20", "aes256"] = "any"
    policy: Literal["fair", "srpt", "reserved"] = "fair"
    replay_window: int = Field(0, ge=0, description="a power of two; 0: the core's own choice")
    purse_frames: int = Field(0, ge=0, lt=1 << 32)
    purse_per_s: int = Field(0, ge=0, lt=1 << 32)
    rekey_s: Count = Field(NOTHING, description="age at which a channel gets new keys; 0: the core's own choice")
    # attackers
    victim: Name | None = None
    does: list[Literal["replay", "mutate", "truncate", "forge", "lamps"]] = []
    per_s: Count = Span(1000, 1000)
    begins: Time = NOTHING
    ends: Time = NOTHING


class Burst(Model):
    """Gilbert-Elliott: with each frame a burst begins or ends; inside one so much is lost."""

    begins: Share
    ends: Share
    loss: Share = Span(1_000_000, 1_000_000)


class Direction(Model):
    """One direction of a link."""

    delay: Time = NOTHING
    rate: Rate = NOTHING
    queue: Size = Field(NOTHING, description="bytes that wait before the link; 0: no bound")
    overhead: int = Field(38, ge=0, le=65536)
    loss: Share = NOTHING
    burst: Burst | None = None
    duplicate: Share = NOTHING
    reorder: Share = NOTHING
    later: Time = Field(NOTHING, description="a reordered or repeated frame comes up to so much later")
    corrupt: Share = NOTHING
    truncate: Share = NOTHING
    faults_until: Time | None = None


class Link(Direction):
    """Both directions between two nodes; `back` changes what is said for the second one."""

    between: list[Name] = Field(min_length=2, max_length=2)
    back: dict[str, Any] = {}


class Window(Model):
    """A time of contact."""

    at: Time
    for_: Some = Field(alias="for")


class Turn(Model):
    """From here on the round trip of every link is this."""

    at: Time
    rtt: Some


class Channel(Model):
    """`from` hails `to`, on every lane that both have."""

    from_: Name = Field(alias="from")
    to: Name
    start: Time = NOTHING
    reopen: bool = True


class Flow(Model):
    """What is sent over a channel, by the node that hails unless `reverse`."""

    from_: Name = Field(alias="from")
    to: Name
    lane: int = Field(0, ge=0)
    count: int = Field(1, ge=1, le=1024)
    kind: Literal["bytes", "messages"] = "bytes"
    size: Size = Field(NOTHING, description="byte flow: all of it; message flow: of one message")
    messages: Count = Span(1, 1)
    bound: Size | None = None
    order: Literal["ordered", "unordered"] = "ordered"
    deadline: Time = Field(NOTHING, description="expiring: older data is skipped; 0: reliable")
    latency: Time = NOTHING
    budget: Size = Field(NOTHING, description="bytes per second that the receiver should keep for it")
    scale: int = Field(0, ge=0, le=3)
    duplex: bool = False
    reverse: bool = False
    close: bool = True
    start: Time = NOTHING
    write_rate: Rate = NOTHING
    read_rate: Rate = NOTHING
    read_from: Time = NOTHING


class Outage(Model):
    """From one node to the next, what matches is lost for a time."""

    from_: Name = Field(alias="from")
    to: Name
    both: bool = False
    at: Time = NOTHING
    for_: Time | None = Field(None, alias="for", description="for ever when left out")
    what: Literal["all", "header-only", "data", "blocked", "grant", "nack", "lamp", "end", "control", "receipt"] = "all"
    count: int = Field(0, ge=0, lt=1 << 32, description="at most so many frames; 0: all")


class Event(Model):
    """One thing that happens."""

    at: Time
    crash: Name | None = None
    for_: Time = Field(Span(10**9, 10**9), alias="for")
    step: Name | None = None
    by: Time = NOTHING
    cancel: int | None = Field(None, ge=0)
    close_flow: int | None = Field(None, ge=0)
    close_channel: int | None = Field(None, ge=0)
    hail: int | None = Field(None, ge=0)
    delay: list[Name] | None = None
    rate: list[Name] | None = None
    to: Time | Rate | None = None


class Scenario(Model):
    """A scenario file."""

    about: str
    proves: list[str] = []
    rtt: Time = Field(description="round trip of the link, declared by all nodes that declare no other")
    rate: Rate = Field(Span(10**10, 10**10), description="declared rate of the link")
    limit: Time = Field(description="virtual time after which the run is given up")
    frames: int = Field(0, ge=0, lt=1 << 63, description="frames after which it is given up; 0: none")
    quiet: Time = NOTHING
    measure: Literal["share", "incast"] | None = None
    blind: bool = Field(False, description="the same traffic by senders without credit, beside it")
    nodes: dict[Name, Node]
    links: list[Link]
    channels: list[Channel]
    flows: list[Flow]
    contacts: list[Window] = Field([], max_length=16, description="declared by all endpoints; none: always in contact")
    table: list[Turn] = Field([], max_length=16, description="round trips: the links', and declared by all endpoints")
    told: bool = Field(True, description="the endpoints declare the table")
    outages: list[Outage] = []
    events: list[Event] = []
    scaled: dict[str, Any] = Field({}, description="path -> value: the small form that many seeds run")
    variants: dict[Name, dict[str, Any]] = {}

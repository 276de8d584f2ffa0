# SPDX-License-Identifier: Apache-2.0
"""Flow 0's tags at their receiver, and what the end of a flow asks for (RFC 0001 sections 12 and 13)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from tether_hw.transport.protocol import tags
from tether_hw.transport.protocol.config import (
    BYTES,
    EXPIRING,
    MESSAGES,
    ORDERED,
    RELIABLE,
    UNORDERED,
    FlowOptions,
    Happened,
)
from tether_hw.transport.protocol.delivery import Bytes, InOrder, Messages, Place
from tether_hw.transport.protocol.flow import CLOSED, ENDED, REFUSED, Flow
from tether_hw.transport.protocol.flow_receive import FlowReceiver
from tether_hw.transport.protocol.flow_send import FlowSender
from tether_hw.transport.protocol.header import BLOCK_SIZE
from tether_hw.transport.protocol.queues import ByteQueue, MessageQueue, Queue, Shape
from tether_hw.transport.protocol.serial import SPAN
from tether_hw.transport.protocol.unordered import UnorderedBytes, UnorderedMessages

if TYPE_CHECKING:
    from tether_hw.transport.protocol.channel import Channel

IDS = 1 << 15  # of one end
JUMBO_BLOCKS = 139
SCALE_MOST, SCALE_MOST_JUMBO = 1, 3  # T-SCL-1


def act(channel: Channel, payload: bytes, now_ns: int) -> None:
    """Act on the tags of one frame of Flow 0; TagError ends the channel (T-TAG-5)."""
    from tether_hw.transport.protocol.channel import State

    for tag in tags.walk(payload):
        if channel.state is not State.UP:  # BYE was said, or read: no more tags (T-BYE-2)
            return
        if isinstance(tag, tags.Define):
            _define(channel, tag, now_ns)
        elif isinstance(tag, tags.Manifest):
            _manifest(channel, tag)
        elif isinstance(tag, tags.Skip):
            _skip(channel, tag, now_ns)
        elif isinstance(tag, tags.Close):
            _close(channel, tag, now_ns)
        elif isinstance(tag, tags.Bye):
            channel.end_flows(-errno.ECONNABORTED)
            channel.state = State.LEAVING
            channel.node.tell(
                Happened.CHANNEL_DOWN, channel.index, status=-errno.ECONNABORTED, value=tag.reason, peer=channel.peer.id
            )
        elif isinstance(tag, (tags.Windows, tags.Table)):
            channel.take_plan(tag)
        elif isinstance(tag, tags.Warm):
            channel.peer_early = tag.early_bytes
        elif isinstance(tag, (tags.Hail, tags.Rekey)):
            raise tags.TagError(0, "a tag of handshakes on a channel")


# flows begin


def make_flow(channel: Channel, number: int, options: FlowOptions, now_ns: int) -> Flow:
    """A flow with both directions; the caller has seen that it may be."""
    blocks, scale = channel.shape.blocks, options.scale
    outward = Shape.of(channel.manifest.floor, blocks, scale)
    inward = Shape.of(channel.node.config.floor_slots, blocks, scale)
    queue: Queue
    delivery: InOrder
    if options.kind == MESSAGES:
        queue = MessageQueue(outward, options.bound)
        unordered = options.order == UNORDERED
        delivery = UnorderedMessages(options.bound) if unordered else Messages(options.bound)
    else:
        queue = ByteQueue(outward, options.whole_frames)
        place = Place(inward.full, inward.full_slots)
        if options.order == UNORDERED:
            delivery = UnorderedBytes(place)
        else:
            delivery = Bytes(place if options.positioned else None)
    receiver = FlowReceiver(
        now_ns, inward, channel.aligned, channel.node.cells, delivery, whole_frames=options.whole_frames
    )
    receiver.span = inward.slots(options.bound)  # S of T-MSG-6, in the direction to us; 0 for bytes
    flow = Flow(number, options, FlowSender(now_ns, queue, deadline_ns=options.deadline_ns), receiver)
    channel.flows[number] = flow
    return flow


def largest_message(channel: Channel, scale: int) -> int:
    """What both ends allow in a flow of this scale (T-MSG-7)."""
    blocks = channel.shape.blocks
    full = (blocks >> scale) << scale
    theirs = channel.manifest.max_message
    if full < blocks:
        theirs = theirs // (BLOCK_SIZE * blocks) * BLOCK_SIZE * full
    return min(channel.node.largest_message(full), theirs)


def misfit(channel: Channel, options: FlowOptions) -> int:
    """0, or the errno that says why there can be no such flow (T-DEF-3, T-SCL-1)."""
    blocks, scale = channel.shape.blocks, options.scale
    known = options.kind in (BYTES, MESSAGES) and options.reliability in (RELIABLE, EXPIRING)
    if not known or options.order not in (ORDERED, UNORDERED):
        return errno.EINVAL
    if scale > (SCALE_MOST if blocks < JUMBO_BLOCKS else SCALE_MOST_JUMBO) or blocks >> scale == 0:
        return errno.EINVAL
    if options.expires and not options.deadline_ns:
        return errno.EINVAL
    if options.kind == MESSAGES and not 1 <= options.bound <= largest_message(channel, scale):
        return errno.EMSGSIZE
    if not channel.node.admits(options.budget):
        return errno.EBUSY
    return errno.ENOSPC if len(channel.flows) > channel.node.config.max_flows else 0


def _define(channel: Channel, tag: tags.Define, now_ns: int) -> None:
    soon = _forget_former(channel, tag.flow, now_ns)
    if tag.flow == 0 or tag.flow % 2 == channel.next_id % 2 or tag.flow in channel.flows:
        raise tags.TagError(0, f"DEFINE of flow {tag.flow}, which is open or not the peer's to open")
    options = FlowOptions(
        tag.kind, tag.bound if tag.kind == MESSAGES else 0, tag.reliability, tag.order, tag.scale,
        tag.latency_ns, tag.budget, tag.deadline_ns if tag.reliability == EXPIRING else 0,
    )  # fmt: skip
    if soon or misfit(channel, options):
        channel.say(tags.Close(tag.flow, REFUSED, 0))
        return
    make_flow(channel, tag.flow, options, now_ns)
    channel.node.tell(
        Happened.FLOW_OPENED, channel.index, tag.flow, status=tag.kind, value=options.bound, peer=channel.peer.id
    )


def _forget_former(channel: Channel, number: int, now_ns: int) -> bool:
    """A DEFINE of an id whose former flow both ends have closed says that our CLOSE has arrived (T-FLW-24).

    True when it comes too soon: it must be refused.
    """
    flow = channel.flows.get(number)
    if flow is not None and flow.over_ns is not None:
        channel.drop_flow(flow)
    over_ns = channel.over_flows.get(number)
    if over_ns is not None and now_ns - over_ns < 2 * channel.link.rtt_ns:
        return True
    channel.over_flows.pop(number, None)
    return False


def _manifest(channel: Channel, tag: tags.Manifest) -> None:
    if (tag.floor, tag.frame_blocks) != (channel.manifest.floor, channel.manifest.frame_blocks):
        raise tags.TagError(0, "MANIFEST with another floor or frame_blocks than in the handshake")
    channel.manifest.max_message = tag.max_message  # by the frames that this channel has (T-MSG-8)
    for entry in tag.lanes:
        channel.peer_lanes[entry.lane] = entry
    channel.follow()
    channel.node.tell(Happened.PEER_LANES, channel.index, value=len(channel.peer_lanes), peer=channel.peer.id)


# credit comes back


def _skip(channel: Channel, tag: tags.Skip, now_ns: int) -> None:
    if tag.flow == 0:
        raise tags.TagError(0, "SKIP of flow 0")
    flow = channel.flows.get(tag.flow)
    if flow is None:
        return
    receiver = flow.receiver
    end, first_missing = tag.first + tag.count, receiver.arrivals.first_missing
    if end <= first_missing:
        return
    multiple = receiver.floor if receiver.aligned else 1
    wrong = (
        not tag.count
        or end >> 64
        or tag.first > receiver.granted + receiver.floor
        or end - first_missing >= SPAN
        or tag.first % multiple
        or tag.count % multiple
        or (receiver.final is not None and end > receiver.final)
    )
    if not flow.options.expires and flow.options.order == ORDERED:  # else sent slots may be named (T-SKP-9)
        wrong = wrong or tag.first < first_missing or receiver.arrivals.missing(tag.first, end) < tag.count
    if wrong:
        raise tags.TagError(0, f"SKIP of slots {tag.first} and {tag.count - 1} more, granted are {receiver.granted}")
    if tag.first > receiver.granted:
        _cover_ember(channel, receiver, tag.first)
    channel.node.stats.skips_received += 1
    receiver.skipped_slots += receiver.arrivals.missing(tag.first, end)
    receiver.granted = max(receiver.granted, end)
    was_readable = receiver.delivery.readable
    receiver.void_missing(tag.first, end, now_ns + channel.link.rtt_ns // 4)
    if receiver.delivery.readable and not was_readable:  # the hole, and what it held back
        channel.node.tell(Happened.FLOW_READABLE, channel.index, flow.number, peer=channel.peer.id)
    receiver.reserve_end = 0
    receiver.skipped = True
    receiver.settle()
    channel.node.tell(
        Happened.FLOW_HOLE, channel.index, flow.number, value=receiver.skipped_slots, peer=channel.peer.id
    )
    after(channel, flow, now_ns)


def _cover_ember(channel: Channel, receiver: FlowReceiver, end: int) -> None:
    """The grant rises over an ember without demand. Where it must still be repaired it needs a cell (T-SKP-6)."""
    if receiver.arrivals.missing(receiver.granted, end):
        if channel.ember_held:
            channel.ember_held = False
        elif not receiver.cells.borrow(channel.node.config.max_channels):
            raise tags.TagError(0, "a SKIP or CLOSE behind an ember for which there is no cell")
        receiver.reserved += 1
    receiver.granted = end


# flows end


def _close(channel: Channel, tag: tags.Close, now_ns: int) -> None:
    if tag.flow == 0:
        raise tags.TagError(0, "CLOSE of flow 0")
    flow = channel.flows.get(tag.flow)
    if flow is None:
        return
    reason = tag.reason if tag.reason in (ENDED, REFUSED) else CLOSED
    receiver = flow.receiver
    if reason == REFUSED:
        channel.tell_unknown(flow)
        flow.closed_there = REFUSED
        _report(channel, flow)
        channel.drop_flow(flow)
        return
    first_missing = receiver.arrivals.first_missing
    if receiver.final is not None:
        wrong = tag.final != receiver.final
    else:
        wrong = tag.final < max(first_missing, receiver.arrivals.highest) or tag.final - first_missing >= SPAN
        wrong = wrong or (receiver.aligned and tag.final % receiver.floor != 0)
    if wrong:
        raise tags.TagError(0, f"CLOSE of flow {tag.flow} with final {tag.final}")
    receiver.final = tag.final
    receiver.demand = min(receiver.demand, tag.final)
    receiver.end_said = receiver.end_said or reason == ENDED
    if reason == CLOSED and 0 < tag.final - receiver.granted <= receiver.floor:
        _cover_ember(channel, receiver, tag.final)
    if receiver.granted > tag.final:
        receiver.void(tag.final, receiver.granted, now_ns + channel.link.rtt_ns // 4)
    receiver.settle()
    if reason == CLOSED:
        channel.tell_unknown(flow)
        flow.closed_there = CLOSED
        flow.sender.stop(forget_sent=True)
        if channel.ember_out is not None and channel.ember_out[0] == flow.number:
            channel.ember_out = None  # T-STA-3
        _report(channel, flow)
        if flow.closed_here == CLOSED:
            receiver.void_missing(0, tag.final)  # T-FLW-12
    elif flow.closed_there is None:
        flow.closed_there = ENDED
        if not receiver.delivery.readable:
            channel.node.tell(Happened.FLOW_READABLE, channel.index, flow.number, peer=channel.peer.id)
    after(channel, flow, now_ns)


def _report(channel: Channel, flow: Flow) -> None:
    if not flow.reported and flow.closed_here != CLOSED:
        flow.reported = True
        channel.node.tell(
            Happened.FLOW_CLOSED, channel.index, flow.number, value=flow.closed_there or 0, peer=channel.peer.id
        )


def open_flow(channel: Channel, options: FlowOptions, now_ns: int) -> int:
    """Open a flow by DEFINE; its id."""
    wrong = misfit(channel, options)
    if wrong:
        raise OSError(wrong, f"no such flow can be opened: {options}")
    channel.gone_flows = {number: at for number, at in channel.gone_flows.items() if at > now_ns}
    for _ in range(IDS):
        number = channel.next_id
        channel.next_id = number + 2 if number + 2 < 1 << 16 else (2 if channel.initiator else 1)
        if number not in channel.flows and number not in channel.gone_flows:
            break
    else:
        raise OSError(errno.ENOSPC, "no free flow id")
    sender = make_flow(channel, number, options, now_ns).sender
    sender.announced = False
    channel.say(
        tags.Define(
            number, options.kind, options.reliability, options.order, options.scale, options.bound,
            options.latency_ns, options.budget, options.deadline_ns,
        ),
        left=sender.announce,
    )  # fmt: skip
    return number


def cancel(channel: Channel, flow: Flow) -> None:
    """Give back by SKIP what will not be sent (T-RET-1)."""
    skip(channel, flow, flow.sender.cancel())


def skip(channel: Channel, flow: Flow, slots: tuple[int, int] | None) -> None:
    """Say SKIP of these slots, if there are any."""
    if slots is not None:
        channel.node.stats.skips_sent += 1
        channel.say(tags.Skip(flow.number, *slots))


def close_flow(channel: Channel, flow: Flow, now_ns: int) -> None:
    """CLOSE with reason 1: nothing new leaves, nothing more is delivered (T-FLW-10, T-FLW-12)."""
    if flow.closed_here == CLOSED:
        return
    if not flow.sender.stopped:
        flow.sender.stop(forget_sent=False)
    _say_close(channel, flow)
    flow.receiver.discard()
    if flow.closed_there == CLOSED and flow.receiver.final is not None:
        flow.receiver.void_missing(0, flow.receiver.final)


def _say_close(channel: Channel, flow: Flow) -> None:
    flow.closed_here = CLOSED

    def receipted() -> None:
        flow.close_receipted = True
        _leave(channel, flow)

    channel.say(tags.Close(flow.number, CLOSED, flow.sender.ledger.next), receipted=receipted)


def after(channel: Channel, flow: Flow, now_ns: int) -> None:
    """What an arrival, or a write, makes due: the end that no frame could carry, the answer to a CLOSE."""
    if flow.must_end:
        assert isinstance(flow.sender.queue, ByteQueue)
        flow.sender.queue.end_sent = True
        flow.closed_here = ENDED
        channel.say(tags.Close(flow.number, ENDED, flow.sender.ledger.next))
    if flow.must_answer_close:
        _say_close(channel, flow)
    _leave(channel, flow)


def _leave(channel: Channel, flow: Flow) -> None:
    if flow.over_ns is None and flow.closed_here == CLOSED and flow.closed_there == CLOSED:
        flow.over_ns = channel.now_ns
    if flow.gone and flow.number in channel.flows:
        channel.drop_flow(flow)

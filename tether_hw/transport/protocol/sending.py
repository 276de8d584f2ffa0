# SPDX-License-Identifier: Apache-2.0
"""What a channel sends next, and when: data, receipts, demand, timer frames (RFC 0001 sections 6 to 9)."""

from __future__ import annotations

import errno

from tether_hw.transport.protocol import control
from tether_hw.transport.protocol.channel import BYE_TIMER_FRAMES, Channel, State
from tether_hw.transport.protocol.config import NEVER, SECOND, Happened
from tether_hw.transport.protocol.flow import Flow
from tether_hw.transport.protocol.header import BLOCKED
from tether_hw.transport.protocol.serial import U32

HOARD_NS, HOARD_SILENCES = 10 * SECOND, 16  # T-SCH-4


def next_frame(channel: Channel, now_ns: int) -> bytes | None:
    """The next frame of a channel, or None when nothing is due."""
    if channel.keys.now.outbound.exhausted:
        channel.fall(-errno.EOVERFLOW)
    if channel.state in (State.GONE, State.HALF_OPEN) or channel.contact.away_ns is not None:
        return None
    if channel.state is State.LEAVING:
        return _last_receipt(channel, now_ns)
    if channel.unanswered_ns is not None and now_ns >= channel.unanswered_ns + channel.link.dead_ns:
        channel.fall(-errno.ETIMEDOUT)
        return None
    flows = _in_turn(channel)
    for flow in flows:
        if flow.sender.expires_ns() <= now_ns:
            control.skip(channel, flow, flow.sender.expire(now_ns))
            if flow.sender.idle:  # what was left has expired
                channel.node.tell(Happened.FLOW_DRAINED, channel.index, flow.number, peer=channel.peer.id)
            control.after(channel, flow, now_ns)
    for flow in flows:
        if flow.sender.pace.ready_ns <= now_ns and _has_frame(channel, flow):
            return _data(channel, flow, now_ns)
    return _receipt(channel, flows, now_ns) or _demand(channel, flows, now_ns) or _timer(channel, flows, now_ns)


def deadline_ns(channel: Channel) -> int:
    """When next_frame() will have something, as things stand."""
    if channel.state in (State.GONE, State.HALF_OPEN):
        return NEVER
    if channel.contact.away_ns is not None:
        return channel.contact.change_ns
    if channel.state is State.LEAVING:
        return 0
    due = channel.contact.change_ns
    if channel.unanswered_ns is not None:
        due = channel.unanswered_ns + channel.link.dead_ns
    unmet = _unmet(channel)
    for flow in channel.flows.values():
        due = min(due, flow.sender.expires_ns())
        if _has_frame(channel, flow):
            due = min(due, flow.sender.pace.ready_ns)
        if channel.receipts.allows(unmet, _for_grant(flow)):
            due = min(due, _news_due_ns(channel, flow))
        timer_ns = min(_blocked_due_ns(channel, flow), _refresh_due_ns(channel, flow))
        if flow.sender.must_tell() and not _has_frame(channel, flow):
            if channel.receipts.allows(unmet, False):
                return 0
            timer_ns = 0
        if timer_ns < NEVER:
            due = min(due, max(timer_ns, _affordable_ns(channel)))
    return due


def _in_turn(channel: Channel) -> list[Flow]:
    """Flow 0 first, the others in rotation: each frame begins one further."""
    numbers = sorted(number for number in channel.flows if number)
    start = next((i for i, number in enumerate(numbers) if number > channel.turn), 0)
    return [channel.flows[number] for number in [0, *numbers[start:], *numbers[:start]]]


def _has_frame(channel: Channel, flow: Flow) -> bool:
    return flow.sender.has_repair() or flow.sender.has_data(_ember_free(channel, flow))


def _ember_free(channel: Channel, flow: Flow) -> bool:
    return flow.number != 0 and channel.ember_out is None


# frames with data


def _data(channel: Channel, flow: Flow, now_ns: int) -> bytes:
    stats = channel.node.stats
    sender = flow.sender
    if sender.has_repair():  # before new data (T-REP-3)
        frame, ember = sender.repair(now_ns), False
        stats.repairs_sent += 1
    else:
        frame, ember = sender.new(now_ns)
        if flow.number:
            stats.bytes_sent += len(frame.cut.payload)
    if ember:
        channel.ember_out = flow.number, frame.end
        stats.embers_sent += 1
    stats.data_frames_sent += 1
    channel.turn = flow.number
    header = channel.header(flow, frame.slot, frame.cut.flags)
    sender.state_want(header, frame.end)
    flow.receiver.state(header, now_ns, channel.again_ns, channel.link.rtt_ns // 4)
    return channel.finish(header, frame.cut.payload, now_ns)


# header-only frames


def _header_only(channel: Channel, flow: Flow, now_ns: int, flags: int = 0, refresh: bool = False) -> bytes:
    header = channel.header(flow, flow.sender.ledger.next & U32, flags)
    flow.sender.state_want(header, flow.sender.ledger.next)
    if refresh:
        flow.receiver.refresh(header, now_ns, channel.again_ns)
    else:
        flow.receiver.state(header, now_ns, channel.again_ns, channel.link.rtt_ns // 4)
    return channel.finish(header, b"", now_ns)


def _unmet(channel: Channel) -> bool:
    return any(flow.receiver.unmet for flow in channel.flows.values())


def _for_grant(flow: Flow) -> bool:
    receiver = flow.receiver
    return receiver.answer or receiver.granted > receiver.told_granted


def _news_due_ns(channel: Channel, flow: Flow) -> int:
    return flow.receiver.news_due_ns(channel.again_ns, channel.link.rtt_ns, channel.receipts.spent_ns)


def _spend(channel: Channel, now_ns: int) -> None:
    channel.receipts.spend(now_ns)
    channel.node.stats.receipts_spent += 1


def _receipt(channel: Channel, flows: list[Flow], now_ns: int) -> bytes | None:
    unmet = _unmet(channel)
    for flow in flows:
        if not channel.receipts.allows(unmet, _for_grant(flow)):
            continue
        if _news_due_ns(channel, flow) <= now_ns:
            _spend(channel, now_ns)
            channel.turn = flow.number
            return _header_only(channel, flow, now_ns)
    return None


def _demand(channel: Channel, flows: list[Flow], now_ns: int) -> bytes | None:
    """Demand that no frame could tell (T-GRT-6)."""
    for flow in flows:
        if not flow.sender.must_tell() or _has_frame(channel, flow):
            continue
        if channel.receipts.allows(_unmet(channel), False):
            _spend(channel, now_ns)
            return _header_only(channel, flow, now_ns)
        if _pay(channel, now_ns):
            return _blocked(channel, flow, now_ns)
    return None


# timer frames


def _blocked_due_ns(channel: Channel, flow: Flow) -> int:
    silence_ns = _silence_ns(channel, flow)
    return flow.sender.clock_due_ns(silence_ns, max(silence_ns, channel.link.cap_ns))


def _refresh_due_ns(channel: Channel, flow: Flow) -> int:
    silence_ns = _silence_ns(channel, flow)
    return flow.receiver.clock_due_ns(silence_ns, max(silence_ns, channel.link.cap_ns), channel.again_ns)


def _silence_ns(channel: Channel, flow: Flow) -> int:
    """Of a flow: four frames at the slower of the paces in force, theirs and ours, may pass (T-CLK-4)."""
    ours_ns = flow.sender.pace.frame_time_ns(flow.sender.queue.shape.full_slots)
    return max(channel.link.silence_ns, 4 * max(ours_ns, flow.receiver.stated_frame_ns))


def hoards_since_ns(channel: Channel) -> int:
    """When credit of a channel has not been used for too long (T-SCH-4)."""
    if channel.state is not State.UP or channel.contact.away_ns is not None:
        return NEVER
    return min(
        (
            flow.receiver.fed_ns + max(HOARD_NS, HOARD_SILENCES * _silence_ns(channel, flow))
            for flow in channel.flows.values()
            if flow.number and flow.receiver.outstanding
        ),
        default=NEVER,
    )


def _affordable_ns(channel: Channel) -> int:
    """When a timer frame can be paid: from the purse, or as the one per cap that always can (T-PRS-4)."""
    if channel.timer_ns is None:
        return 0
    return min(channel.node.purse.ready_ns(), channel.timer_ns + channel.link.cap_ns)


def _pay(channel: Channel, now_ns: int) -> bool:
    if not channel.node.purse.take(now_ns) and now_ns < _affordable_ns(channel):
        return False
    channel.timer_ns = now_ns
    if channel.unanswered_ns is None:
        channel.unanswered_ns = now_ns
    return True


def _blocked(channel: Channel, flow: Flow, now_ns: int) -> bytes:
    flow.sender.clock.fired(now_ns)
    channel.node.stats.blocked_sent += 1
    return _header_only(channel, flow, now_ns, BLOCKED)


def _timer(channel: Channel, flows: list[Flow], now_ns: int) -> bytes | None:
    for flow in flows:
        if _blocked_due_ns(channel, flow) <= now_ns and _pay(channel, now_ns):
            if channel.state is State.CLOSING:
                channel.bye_frames += 1
                if channel.bye_frames > BYE_TIMER_FRAMES:
                    channel.fall()
                    return None
            return _blocked(channel, flow, now_ns)
        if _refresh_due_ns(channel, flow) <= now_ns and _pay(channel, now_ns):
            flow.receiver.clock.fired(now_ns)
            channel.node.stats.refresh_sent += 1
            return _header_only(channel, flow, now_ns, refresh=True)
    return None


def _last_receipt(channel: Channel, now_ns: int) -> bytes | None:
    """BYE was read: one receipt says so, then the channel is forgotten (T-BYE-1)."""
    frame = None
    if channel.receipts.count:
        _spend(channel, now_ns)
        frame = _header_only(channel, channel.flows[0], now_ns)
    channel.fall()
    return frame

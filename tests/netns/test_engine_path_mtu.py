# SPDX-License-Identifier: Apache-2.0
"""The probe of the path over real devices: two hosts, and between them a switch that carries less than they do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tether_hw.transport.config import Limits, Link
from tether_hw.transport.duo import Duo
from tether_hw.transport.netns import Namespace

WAIT_S = 30.0
LIMITS = Limits(max_message_bytes=1 << 20, rx_cells=2048, tx_cells=1024, max_channels=8, max_flows=8)
CONTENT = os.urandom(2_000_000)


@contextmanager
def switched(ends: int, middle: int) -> Iterator[tuple[Namespace, Namespace]]:
    """Two hosts whose data0 has the MTU `ends`; the ports of the bridge between them have `middle`."""
    with ExitStack() as stack:
        spaces = []
        for _ in range(3):
            space = Namespace()
            stack.callback(space.close)
            spaces.append(space)
        *hosts, switch = spaces
        switch.run("ip", "link", "add", "sw0", "type", "bridge", "stp_state", "0", "forward_delay", "0")
        for number, host in enumerate(hosts):
            port = f"port{number}"
            host.run(
                "ip", "link", "add", "data0", "mtu", str(ends), "type", "veth",
                "peer", "name", port, "mtu", str(middle), "netns", str(switch.tid),
            )  # fmt: skip
            switch.run("ip", "link", "set", port, "master", "sw0")
            for space, device in ((host, "data0"), (switch, port)):
                space.run("sysctl", "-qw", f"net.ipv6.conf.{device}.disable_ipv6=1")
                space.run("ethtool", "-K", device, "txvlan", "off", "rxvlan", "off")  # tags stand in the frames
                space.run("ip", "link", "set", device, "up")
        switch.run("ip", "link", "set", "sw0", "mtu", str(middle), "up")
        yield hosts[0], hosts[1]


def carry(duo: Duo) -> None:
    """Bytes in both directions of every channel, in the largest frames that the path takes."""
    for channel, other in zip(duo.channels, duo.peer_channels):
        with channel.open_flow("bytes") as flow, other.accept_flow(WAIT_S) as end:
            for source, sink in ((flow, end), (end, flow)):
                got = bytearray()
                left = memoryview(CONTENT)
                while len(got) < len(CONTENT):
                    if len(left):
                        left = left[source.write(left[:65536], WAIT_S, flush=True) :]
                    got += sink.read(1 << 20, WAIT_S)
                assert bytes(got) == CONTENT


@pytest.mark.proves("T-PMT-1", "T-PMT-3", "T-PMT-4")
@pytest.mark.parametrize(
    ("carrier", "ends", "middle", "vlan", "blocks"),
    [
        ("af_packet", 9000, 9000, None, 139),  # jumbo all the way
        ("af_packet", 9000, 1500, None, 22),  # the switch carries 1500 only: what is larger vanishes there
        ("af_packet", 9000, 1500, 100, 22),
        ("af_packet", 9000, 9000, 100, 139),
        ("af_packet", 1500, 1400, None, 20),
        # A port takes its MTU, the Ethernet header and 4 bytes for a tag. A frame of 23 blocks has 1472 bytes: without
        # a tag it passes a port of 1468, with one it does not, and the probe has the tag that data will have.
        ("af_packet", 1500, 1468, None, 22),
        ("af_packet", 1500, 1468, 100, 20),
        ("af_packet", 1500, 1472, 100, 22),
        ("af_xdp", 3498, 3498, None, 53),
        ("af_xdp", 3498, 1500, None, 22),
        ("af_xdp", 3498, 1468, 100, 20),
    ],
)
def test_the_largest_frames_that_arrive(carrier: str, ends: int, middle: int, vlan: int | None, blocks: int) -> None:
    link = Link(mtu=ends, vlan=vlan, rtt_ns=200_000)
    with switched(ends, middle) as spaces, Duo(carrier, 1, spaces=spaces, limits=LIMITS, link=link) as duo:
        own = (ends // 64) - 1
        assert duo.a.lane_info(0).frame_blocks == own
        for channel in (*duo.channels, *duo.peer_channels):
            assert channel.info().peer_frame_blocks == own
            assert channel.info().path_blocks == blocks
        carry(duo)
        for engine in (duo.a, duo.b):
            stats, counters = engine.stats(0)
            assert stats.bytes_sent >= len(CONTENT)
            assert stats.bytes_sent <= stats.data_frames_sent * blocks * 64
            assert (counters.overruns, stats.invariant_violations) == (0, 0)

# SPDX-License-Identifier: Apache-2.0
"""Benches with the document `tether.engine.bench/1`. Machines are noisy: every limit is measured in each round, next
to what is compared with it, and the numbers are medians over the rounds.

goodput_bps, aead_limit_bps, xdp_ceiling_bps: bits of payload per second. aead_limit_bps: seal + open of full frames by
the same library call on one core. xdp_ceiling_bps (af_xdp): a bare sender and receiver on the same queues, no protocol.
rtt_*: message round trips in the library (pipe) or through both applications (udp, af_xdp).
"""

from __future__ import annotations

import argparse
import ctypes
import functools
import os
import statistics
import sys
import threading
import time
from typing import Any, Optional

from . import binding
from .commands import emit
from .config import Link
from .duo import Duo
from .errors import EngineError, TransportError, engine_error
from .library import load
from .netns import Namespace, veth_pair
from .ping import percentile
from .progress import rate_words
from .structs import tether_bench_config, tether_bench_result, tether_ceiling_config, tether_ceiling_result

SCHEMA = "tether.engine.bench/1"
CIPHERS = {"aes-256-gcm": binding.CIPHER_AES_256_GCM, "chacha20-poly1305": binding.CIPHER_CHACHA20_POLY1305}
PIECE_BYTES = 1 << 20
CEILING_NS = 400_000_000
CEILING_IDLE_NS = 150_000_000
AEAD_NS = 100_000_000
PINGS = 500
ROUNDS_LEAST = 5
ROUNDS_MOST = 32
MTU = 1500
RUN_S = 120.0


def pipe(rounds: int, mebibytes: int, cipher: int) -> dict[str, Any]:
    """Two endpoints over memory on one core."""
    library = load()
    config = tether_bench_config(cipher=cipher, rounds=rounds, bytes=mebibytes << 20, cpu=-1)
    result = tether_bench_result()
    code = library.tether_bench_pipe(ctypes.byref(config), ctypes.byref(result))
    if code < 0:
        words = (library.tether_engine_error(None) or b"").decode(errors="replace")
        raise engine_error(code, "bench over the pipe", words)
    shares = list(result.round_share[: result.rounds])
    return {
        "frames_per_s": result.frames_per_s,
        "goodput_bps": result.goodput_bps,
        "rtt_p50_ns": round(result.rtt_p50_ns),
        "rtt_p99_ns": round(result.rtt_p99_ns),
        "aead_limit_bps": result.aead_limit_bps,
        "share_of_aead_limit": result.share_of_aead_limit,
        "payload_bytes": result.payload_bytes,
        "per_round": [
            {"goodput_bps": goodput, "aead_limit_bps": aead, "share_of_aead_limit": share}
            for goodput, aead, share in zip(result.round_goodput_bps, result.round_aead_bps, shares)
        ],
    }


def aead_bps(cipher: int, payload_bytes: int) -> float:
    """Raw AEAD speed on this thread, bits per second."""
    speed = ctypes.c_double()
    code = load().tether_bench_aead(cipher, payload_bytes, AEAD_NS, ctypes.byref(speed))
    if code < 0:
        raise engine_error(code, "bench of the AEAD", "")
    return speed.value


def stream(duo: Duo, total_bytes: int) -> float:
    """Send `total_bytes` from a to b over one byte flow per lane; seconds until the last byte was read."""
    share = total_bytes // len(duo.channels)
    failures: list[Exception] = []

    def write(index: int) -> None:
        try:
            flow = duo.channels[index].open_flow("bytes")
            piece = memoryview(os.urandom(PIECE_BYTES))
            left = share
            while left:
                left -= flow.write(piece[: min(left, PIECE_BYTES)], RUN_S)
            flow.end(RUN_S)
        except EngineError as error:
            failures.append(error)

    def read(index: int) -> None:
        try:
            flow = duo.peer_channels[index].accept_flow(RUN_S)
            buffer = bytearray(PIECE_BYTES)
            got = 0
            while count := flow.readinto(buffer, RUN_S):
                got += count
            if got != share:
                raise EngineError(f"{got} of {share} bytes arrived")
            flow.close()
        except EngineError as error:
            failures.append(error)

    threads = [
        threading.Thread(target=function, args=(index,), daemon=True)
        for index in range(len(duo.channels))
        for function in (write, read)
    ]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - begun
    if failures:
        raise failures[0]
    return seconds


def round_trips(duo: Duo, count: int) -> list[float]:
    """Message round trips through both applications, nanoseconds."""
    flow = duo.channels[0].open_flow("message", 64)

    def echo() -> None:
        there = duo.peer_channels[0].accept_flow(RUN_S)
        for _ in range(count):
            there.send(there.recv(RUN_S), RUN_S)

    thread = threading.Thread(target=echo, daemon=True)
    thread.start()
    samples: list[float] = []
    message = bytes(56)
    for _ in range(count):
        begun = time.perf_counter_ns()
        flow.send(message, RUN_S)
        flow.recv(RUN_S)
        samples.append(float(time.perf_counter_ns() - begun))
    thread.join()
    flow.close()
    return samples


def ceiling_bps(spaces: tuple[Namespace, Namespace], device: str, queues: int, frame_bytes: int, cpus: int) -> float:
    """Bare AF_XDP from the first namespace to the second, all queues at once: bits of payload per second."""
    library = load()
    results = [tether_ceiling_result() for _ in range(queues)]
    failures: list[Exception] = []

    def side(mode: int, space: int, queue: int) -> None:
        cpu = (queue * 2 + space) % cpus if cpus else -1
        config = tether_ceiling_config(
            mode=mode,
            device=device.encode(),
            queue=queue,
            cpu=cpu,
            frame_bytes=frame_bytes,
            duration_ns=CEILING_NS if mode == binding.CEILING_SEND else 4 * CEILING_NS,
            idle_ns=CEILING_IDLE_NS,
        )
        config.source[:] = bytes((2, 0x74, 0xBE, 0, 0, queue))
        config.destination[:] = bytes((2, 0x74, 0xBE, 1, 0, queue))
        result = results[queue] if mode == binding.CEILING_RECEIVE else tether_ceiling_result()
        code = library.tether_bench_xdp_ceiling(ctypes.byref(config), ctypes.byref(result))
        if code < 0:
            words = (library.tether_engine_error(None) or b"").decode(errors="replace")
            failures.append(engine_error(code, f"bare AF_XDP on {device}:{queue}", words))

    threads = []
    for mode, space in ((binding.CEILING_RECEIVE, 1), (binding.CEILING_SEND, 0)):
        for queue in range(queues):
            threads.append(spaces[space].spawn(functools.partial(side, mode, space, queue), "ceiling"))
        time.sleep(0.1)  # the receivers stand before the first frame comes
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return float(sum(result.payload_bps for result in results))


def link_rounds(
    carrier: str,
    rounds: int,
    mebibytes: int,
    cipher: int,
    queues: int,
    device: str,
    spaces: Optional[tuple[Namespace, Namespace]],
) -> dict[str, Any]:
    """Engine, AEAD and (af_xdp) ceiling in turn, `rounds` times."""
    cpus = os.cpu_count() or 0
    per_round: list[dict[str, Any]] = []
    samples: list[float] = []
    link_rtts: list[tuple[int, int]] = []
    lane: dict[str, Any] = {}
    payload = 0
    for _ in range(rounds):
        entry: dict[str, Any] = {}
        with Duo(
            carrier, queues, device, spaces, link=Link(mtu=MTU, rtt_ns=100_000), cpus=cpus, prefer_cipher=cipher
        ) as duo:
            info = duo.b.lane_info(0)
            payload = info.frame_blocks * 64
            lane = {
                "zero_copy": bool(info.flags & binding.LANE_ZERO_COPY),
                "native_xdp": bool(info.flags & binding.LANE_NATIVE_XDP),
                "why": info.why.decode(errors="replace"),
            }
            samples += round_trips(duo, PINGS)
            idle = duo.channels[0].info()
            link_rtts.append((idle.rtt_p50_ns, idle.rtt_p99_ns))
            before = [duo.b.stats(number)[0].frames_received for number in range(queues)]
            seconds = stream(duo, mebibytes << 20)
            after = [duo.b.stats(number) for number in range(queues)]
            frames = sum(now.frames_received - then for (now, _), then in zip(after, before))
            entry["goodput_bps"] = (mebibytes << 20) * 8 / seconds
            entry["frames_per_s"] = frames / seconds
            entry["repairs"] = sum(duo.a.stats(number)[0].repairs_sent for number in range(queues))
            entry["overruns"] = sum(carrier_stats.overruns for _, carrier_stats in after)
            entry["frames_per_queue"] = [now.frames_received for now, _ in after]
        entry["aead_limit_bps"] = aead_bps(cipher, payload)
        entry["share_of_aead_limit"] = entry["goodput_bps"] / entry["aead_limit_bps"]
        if spaces is not None:
            entry["xdp_ceiling_bps"] = ceiling_bps(spaces, device, queues, payload + 64, cpus)
            entry["share_of_xdp_ceiling"] = (
                entry["goodput_bps"] / entry["xdp_ceiling_bps"] if entry["xdp_ceiling_bps"] else 0.0
            )
        per_round.append(entry)
    names = ["frames_per_s", "goodput_bps", "aead_limit_bps", "share_of_aead_limit"]
    if spaces is not None:
        names += ["xdp_ceiling_bps", "share_of_xdp_ceiling"]
    medians = {name: statistics.median(entry[name] for entry in per_round) for name in names}
    return {
        **medians,
        "rtt_p50_ns": round(percentile(samples, 0.5)),
        "rtt_p99_ns": round(percentile(samples, 0.99)),
        "link_rtt_p50_ns": round(statistics.median(p50 for p50, _ in link_rtts)),
        "link_rtt_p99_ns": round(statistics.median(p99 for _, p99 in link_rtts)),
        "payload_bytes": payload,
        "queues": queues,
        **lane,
        "per_round": per_round,
    }


def run(
    carrier: str,
    rounds: int = ROUNDS_LEAST,
    mebibytes: int = 64,
    cipher: str = "aes-256-gcm",
    queues: int = 1,
    between: Optional[tuple[str, str]] = None,
    device: str = "data0",
) -> dict[str, Any]:
    """The document of one bench. af_xdp: between two new namespaces that go with the process, or those of `between`."""
    if not ROUNDS_LEAST <= rounds <= ROUNDS_MOST:
        raise TransportError(f"rounds must be {ROUNDS_LEAST} to {ROUNDS_MOST}, a median of fewer says nothing")
    number = CIPHERS[cipher]
    head = {
        "schema": SCHEMA,
        "carrier": carrier,
        "cipher": cipher,
        "rounds": rounds,
        "bytes_per_round": mebibytes << 20,
    }
    if carrier == "pipe":
        return {**head, **pipe(rounds, mebibytes, number)}
    if carrier == "udp":
        return {**head, **link_rounds("udp", rounds, mebibytes, number, queues, device, None)}
    names = between or (None, None)
    one = Namespace(names[0])
    try:
        other = Namespace(names[1])
        try:
            if between is None:
                veth_pair(one, other, device, queues, MTU)
            return {**head, **link_rounds("af_xdp", rounds, mebibytes, number, queues, device, (one, other))}
        finally:
            other.close()
    finally:
        one.close()


def text(document: dict[str, Any]) -> str:
    """The document for people."""
    lines = [
        f"{document['carrier']}, {document['cipher']}, {document['payload_bytes']} bytes payload, "
        f"medians of {document['rounds']} rounds",
        f"  goodput        {rate_words(document['goodput_bps'])}  ({document['frames_per_s']:.0f} frames/s)",
        f"  raw AEAD       {rate_words(document['aead_limit_bps'])}  share {document['share_of_aead_limit']:.2f}",
    ]
    if "xdp_ceiling_bps" in document:
        ceiling = rate_words(document["xdp_ceiling_bps"])
        lines.append(f"  bare AF_XDP    {ceiling}  share {document['share_of_xdp_ceiling']:.2f}")
    lines.append(f"  rtt p50/p99    {document['rtt_p50_ns'] / 1e3:.1f} / {document['rtt_p99_ns'] / 1e3:.1f} us")
    return "\n".join(lines) + "\n"


def command(args: argparse.Namespace) -> int:
    """The sub-verb `bench`."""
    between: Optional[tuple[str, str]] = None
    if args.between:
        first, comma, second = args.between.partition(",")
        if args.carrier != "af_xdp" or not (comma and first and second):
            raise TransportError("--between takes two namespaces, A,B, and is for af_xdp")
        between = (first, second)
    document = run(args.carrier, args.rounds, args.mebibytes, args.cipher, args.queues, between, args.device)
    if args.json:
        emit(document)
    else:
        sys.stdout.write(text(document))
    return 0

# SPDX-License-Identifier: Apache-2.0
"""The main job from end to end, on two hosts of the lab: plan, apply, verify, a file over Tether, take it all back.

Usage: .venv/bin/python demo/run.py [--mebibytes N]      (make demo)
As root over af_xdp in network namespaces, otherwise over udp between processes. Ends in 0 when everything held.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TETHER = [sys.executable, "-m", "tether_hw.cli.main"]
BOLD, PLAIN = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
DEADLINE_S = 900


class Failed(Exception):
    """The demo found something that is not as promised."""


def need(held: bool, what: str) -> None:
    """Says what holds; raises Failed when it does not."""
    print(f"  {'ok' if held else 'NOT SO'}: {what}", flush=True)
    if not held:
        raise Failed(what)


def tether(*words: str) -> None:
    """Runs and shows one command of the suite."""
    shown("tether", *words)
    done = subprocess.run([*TETHER, *words], cwd=ROOT, stdin=subprocess.DEVNULL, timeout=DEADLINE_S)
    if done.returncode != 0:
        raise Failed(f"tether {words[0]} ended with {done.returncode}")


def document(*words: str) -> dict[str, Any]:
    """The JSON document of one command; its words for people go to the terminal."""
    shown("tether", *words, "--json")
    command = [*TETHER, *words, "--json"]
    done = subprocess.run(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=DEADLINE_S
    )
    if done.returncode != 0:
        raise Failed(f"tether {words[0]} ended with {done.returncode}: {done.stdout.strip()[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def shown(*words: str) -> None:
    print(f"\n{BOLD}$ {shlex.join(words)}{PLAIN}", flush=True)


class Lab:
    """The lab of the default state folder."""

    def __init__(self, root: bool) -> None:
        self.root = root
        self.inventory = "inventory/lab.yaml" if root else "inventory/lab-user.yaml"
        self.status: dict[str, Any] = {}

    def up(self) -> None:
        command = [*TETHER, "lab", "status", "--json"]
        there = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
        if there.returncode == 0 and json.loads(there.stdout)["state"] != "down":
            raise SystemExit("demo: a lab is up already; take it down first: tether lab down")
        tether("lab", "up", "--hosts", "2", *([] if self.root else ["--user"]))
        self.status = document("lab", "status")

    def ssh(self, host: str, command: str) -> str:
        """Runs a shell command on a host as anybody with OpenSSH would."""
        folder = Path(self.status["folder"])
        hosts = {entry["name"]: entry for entry in self.status["hosts"]}
        options = ["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-i", str(folder / "id_ed25519")]
        options += ["-o", f"UserKnownHostsFile={folder / 'known_hosts'}", "-o", "ConnectTimeout=10"]
        user = "root" if self.root else getpass.getuser()
        entry = hosts[host]
        if entry["jump"]:
            jump = hosts[entry["jump"]]
            through = ["ssh", *options, "-W", "%h:%p", "-p", str(jump["port"]), f"{user}@{jump['address']}"]
            options += ["-o", f"ProxyCommand={shlex.join(through)}"]
        argv = ["ssh", *options, "-p", str(entry["port"]), f"{user}@{entry['address']}", command]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise Failed(f"{host}: {command}: {done.stderr.strip()}")
        return done.stdout

    def place(self, host: str, name: str) -> str:
        """Where the demo keeps a file on a host."""
        return f"/var/tmp/{name}" if self.root else str(Path(self.status["folder"]) / "hosts" / host / name)


def lanes(inventory: str, host: str) -> dict[int, dict[str, Any]]:
    found = document("engine", "stats", host, "-i", inventory)
    return {lane["lane"]: lane for lane in found["lanes"]}


def transfer(lab: Lab, mebibytes: int) -> None:
    """A file of random bytes from a to b, its hash at both ends, and what the queues counted."""
    source, target = lab.place("a", "tether-demo.bin"), lab.place("b", "tether-demo.bin")
    print(f"\na makes {mebibytes} MiB of random bytes", flush=True)
    lab.ssh("a", f"head -c {mebibytes * 1024 * 1024} /dev/urandom > {shlex.quote(source)}")
    before = lanes(lab.inventory, "b")
    sent = document("engine", "send", f"a:{source}", f"b:{target}", "-i", lab.inventory)
    after = {host: lanes(lab.inventory, host) for host in ("a", "b")}
    hashes = [lab.ssh(*pair).split()[0] for pair in (("a", f"sha256sum {source}"), ("b", f"sha256sum {target}"))]
    ping = document("engine", "ping", "a", "b", "-i", lab.inventory)

    moved = sent["transfers"][0]
    print(f"  goodput {moved['goodput_bps'] / 1e9:.2f} Gbit/s over {moved['seconds']:.2f} s")
    for lane in ping["lanes"]:
        p50_us, p99_us = lane["rtt_p50_ns"] / 1e3, lane["rtt_p99_ns"] / 1e3
        print(f"  lane {lane['lane']}: RTT p50 {p50_us:.0f} us, p99 {p99_us:.0f} us")
    grown = {lane: now["frames_received"] - before[lane]["frames_received"] for lane, now in after["b"].items()}
    for number, frames in sorted(grown.items()):
        lane = after["b"][number]
        print(f"  b queue {lane['queue']} ({lane['carrier']}): {frames} frames received")
    need(hashes[0] == hashes[1], f"SHA-256 is the same at both ends: {hashes[0]}")
    need(sum(frames > 0 for frames in grown.values()) >= 2, "two or more queues carried it")
    wanted = "af_xdp" if lab.root else "udp"
    every = [lane for host in after.values() for lane in host.values()]
    need(all(lane["carrier"] == wanted for lane in every), f"every lane runs over {wanted}")
    need(sum(lane["overruns"] for lane in every) == 0, "no frame was lost to a full ring: overruns 0")
    need(sum(lane["misdirected"] for lane in every) == 0, "every frame came in on its own queue: misdirected 0")


def job(lab: Lab, mebibytes: int) -> None:
    lab.up()
    inventory = ("-i", lab.inventory)
    tether("validate", *inventory)
    tether("plan", *inventory)
    applied = document("apply", *inventory, "--yes")
    verified = document("verify", *inventory)
    checks = verified["checks"]
    need(bool(checks) and all(check["result"] == "proved" for check in checks), f"{len(checks)} checks proved")
    transfer(lab, mebibytes)
    again = document("plan", *inventory)
    need(again["changes"] == 0, "a second plan is empty")
    tether("rollback", applied["run"], *inventory, "--yes")


def main() -> int:
    parser = argparse.ArgumentParser(description="The main job from end to end, on two hosts of the lab.")
    parser.add_argument("--mebibytes", type=int, default=256, metavar="N", help="size of the file (256)")
    arguments = parser.parse_args()
    lab = Lab(root=os.geteuid() == 0)
    began = time.monotonic()
    code = 0
    try:
        job(lab, arguments.mebibytes)
    except Failed as failure:
        print(f"\ndemo: failed: {failure}", file=sys.stderr)
        code = 1
    finally:
        if lab.status:
            tether("lab", "down")
    if code == 0:
        print(f"\ndemo: everything held, {time.monotonic() - began:.0f} s")
    return code


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""Inventories: what is read, what is inherited, and every mistake in one run with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tether_hw.data import data_path
from tether_hw.errors import InputErrors, Problem, TetherError
from tether_hw.fleet.inventory import Inventory, load
from tether_hw.fleet.patterns import select
from tether_hw.plan.lane import lane_mac

CANARY = "canary-5f3a-never-shown"

GOOD = """\
tether: 1
groups:
  rack: {user: ops, engine: {cpus: by-lane}}
defaults:
  user: root
  nics:
    data0: {device: {name: data0}, queues: 2, lanes: {on: pf, queues: [0, 1]}}
hosts:
  a: {address: 192.0.2.1, groups: [rack]}
  b: {address: 192.0.2.2, nics: {data0: {mtu: 2000}}}
links:
  fabric0: {members: [a.data0, b.data0], latency: 20us, rate: 2.5Gbit}
"""


def write(folder: Path, text: str, keys: str | None = None) -> Path:
    path = folder / "inventory.yaml"
    path.write_text(text, encoding="utf-8")
    if keys is not None:
        (folder / "inventory.keys.yaml").write_text(keys, encoding="utf-8")
    return path


def problems(folder: Path, text: str, keys: str | None = None) -> list[Problem]:
    with pytest.raises(InputErrors) as caught:
        load(write(folder, text, keys))
    return caught.value.problems


def test_inheritance(tmp_path: Path) -> None:
    inventory = load(write(tmp_path, GOOD))
    a, b = inventory.hosts["a"], inventory.hosts["b"]
    assert (a.user, b.user) == ("ops", "root")
    assert (a.engine.cpus, b.engine.cpus) == ("by-lane", None)
    assert (a.nics["data0"].mtu, b.nics["data0"].mtu) == (None, 2000)
    assert a.nics["data0"].queues == b.nics["data0"].queues == 2
    assert inventory.links["fabric0"].latency == 20_000
    assert inventory.links["fabric0"].rate == 2_500_000_000
    assert inventory.members["fabric0"] == (("a", "data0"), ("b", "data0"))
    assert inventory.peers("a") == [("b", "fabric0")]


def test_lanes_have_the_documented_addresses(tmp_path: Path) -> None:
    inventory = load(write(tmp_path, GOOD))
    assert [lane.address for lane in inventory.lanes["a"]] == [
        {"mac": lane_mac("a", "data0", 0), "vlan": None},
        {"mac": lane_mac("a", "data0", 1), "vlan": None},
    ]
    # Fixed for ever: two machines must compute the same.
    assert lane_mac("a", "data0", 0) == "02:06:2b:cd:b3:3a"


EVERYTHING_WRONG = f"""\
tether: 1
hosts:
  a:
    address: 192.0.2.1
    prot: 22
    nics:
      data0: {{device: {{mac: "02:74:zz:00:00:01"}}, queues: 2, lanes: {{queues: [0, 5]}}, mtu: 100}}
    peers: [zed]
  b:
    address: 192.0.2.2
    port: "22"
    sudo_password: {CANARY}
    nics:
      data0: {{device: {{name: data0}}, queues: 2, lanes: {{queues: [0, 1]}}}}
  b:
    address: 192.0.2.3
  u:
    address: 192.0.2.4
    nics:
      net0: {{device: {{name: lo}}, carrier: udp, lanes: {{queues: [0, 1]}}, udp: {{address: 127.0.0.1, port: 5000}}}}
      net1: {{device: {{name: lo}}, carrier: udp, lanes: {{queues: [0]}}, udp: {{address: 127.0.0.1, port: 5001}}}}
links:
  fabric0: {{members: [a.data0, b.data0, c.data0, b.data7], mtu: 9000}}
  loop: {{members: [u.net0, u.net1]}}
"""
BAD_KEYS = "hosts:\n  a: {keys: [AB]}\n  b: {keys: [%s]}\n  u: {keys: [%s]}\n" % ("1a" * 32, "1a" * 32)


def test_every_mistake_in_one_run(tmp_path: Path) -> None:
    found = problems(tmp_path, EVERYTHING_WRONG, BAD_KEYS)
    seen = {(Path(problem.file).name, problem.line, problem.path): problem.message for problem in found}
    main, keys = "inventory.yaml", "inventory.keys.yaml"
    assert seen[main, 5, "hosts.a.prot"] == "unknown field"
    assert "MAC address" in seen[main, 7, "hosts.a.nics.data0.device.mac"]
    assert "queue 5 of a NIC with 2" in seen[main, 7, "hosts.a.nics.data0.lanes.queues.1"]
    assert "hold no block" in "".join(problem.message for problem in found if problem.path == "hosts.a.nics.data0.mtu")
    assert "unknown peer 'zed'" in seen[main, 8, "hosts.a.peers.0"]
    assert "whole number" in seen[main, 11, "hosts.b.port"]
    assert "reference" in seen[main, 12, "hosts.b.sudo_password"]
    assert "twice, first in line 9" in seen[main, 15, "hosts.b"]
    assert "unknown host or group 'c'" in seen[main, 23, "links.fabric0.members.2"]
    assert "no NIC 'data7'" in seen[main, 23, "links.fabric0.members.3"]
    assert "does not fit XDP" in seen[main, 23, "links.fabric0.mtu"]
    assert "one address: udp 127.0.0.1:5001" in seen[main, 21, "hosts.u.nics.net1.udp.port"]
    assert "64 hexadecimal" in seen[keys, 2, "hosts.a.keys.0"]
    assert "key of b too" in seen[keys, 4, "hosts.u.keys.0"]
    hints = {problem.path: problem.hint for problem in found}
    assert hints["hosts.a.prot"] == "did you mean 'port'?"
    assert hints["links.fabric0.members.3"] == "did you mean 'data0'?"


def test_a_mistaken_value_is_never_shown(tmp_path: Path) -> None:
    found = problems(tmp_path, EVERYTHING_WRONG, BAD_KEYS)
    assert CANARY not in "\n".join(f"{problem} {problem.hint} {problem.to_dict()}" for problem in found)


HOST = "tether: 1\nhosts:\n  a:\n    address: 192.0.2.1\n"
E810 = HOST + "    nics:\n      d: {family: e810, "
RULE = E810 + "device: {pci: 'x'}, steering: {rules: [{name: r, match: {}, action: "
RULES = "hosts.a.nics.d.steering.rules.0"
CX7 = HOST + "    nics:\n      d: {family: cx7, "
SIM = CX7 + "device: {devlink: netdevsim/netdevsim1}, "
CX7_RULE = CX7 + "device: {name: x}, %ssteering: {rules: [{name: r, match: {}, action: %s}]}}\n"
VF = CX7 + "device: {name: x}, vfs: [{%s}]}\n"
SF = CX7 + "device: {name: x}, %ssfs: [%s]}\n"
MATCH = E810 + "device: {name: x}, steering: {rules: [{name: r, match: {%s}, action: drop}]}}\n"
MANY = E810 + "device: {name: x}, steering: {rules: [" + "{name: r, match: {}, action: drop}, " * 600 + "]}}\n"
BESIDE = """\
tether: 1
hosts:
  a:
    address: 192.0.2.1
    nics:
      data0: {family: cx7, device: {pci: '0000:08:00.0'}, eswitch: switchdev, vfs: [{address: '02:00:00:00:00:01'}, {}],
              sfs: [{number: 88, address: '02:00:00:00:00:02'}], lanes: {%s}}
  b: {address: 192.0.2.2, nics: {data0: {device: {name: data0}, lanes: {queues: [0]}}}}
links:
  f: {members: [a.data0, b.data0]}
"""
PAIR = """\
tether: 1
hosts:
  a: {address: 192.0.2.1, nics: {data0: {device: {name: data0}, %s}}}
  b: {address: 192.0.2.2, nics: {data0: {device: {name: data0}, lanes: {queues: [0]}}}}
links:
  f: {members: [a.data0, b.data0]%s}
"""
LANES = "lanes: {queues: [0]}"


@pytest.mark.pain(22)
@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("", "tether", "missing"),
        ("[]", "", "mapping"),
        ("tether: 2\nhosts: {a: {address: x}}\n", "tether", "expected 1"),
        ("tether: 1\n", "hosts", "no hosts"),
        ("tether: 1\nhosts: {}\nextra: 1\n", "extra", "unknown field"),
        (HOST + "    sudo: yes\n", "hosts.a.sudo", "true or false"),
        (HOST + "    port: 0\n", "hosts.a.port", "greater than or equal to 1"),
        (HOST + "    root: relative/path\n", "hosts.a.root", "absolute path"),
        (HOST + "    root: /a/../b\n", "hosts.a.root", "without .."),
        (HOST + "    jump: nobody\n", "hosts.a.jump", "unknown machine"),
        (HOST + "    jump: a\n", "hosts.a.jump", "circle"),
        (HOST + "    groups: [none]\n", "hosts.a.groups", "unknown group"),
        (HOST + "    engine: {metrics: {listen: here}}\n", "hosts.a.engine.metrics.listen", "IP address and port"),
        (HOST + "    nics: {data0: {device: {}}}\n", "hosts.a.nics.data0.device", "exactly one of"),
        (HOST + "    nics: {data0: {device: {pci: 3b:00.0}}}\n", "hosts.a.nics.data0.device.pci", "PCI address"),
        (HOST + "    nics: {data0: {device: {name: a/b}}}\n", "hosts.a.nics.data0.device.name", "device name"),
        (HOST + "    nics: {d: {device: {name: d}, family: e811}}\n", "hosts.a.nics.d.family", "unknown family"),
        (HOST + "    nics: {d: {device: {name: d}, family: 8}}\n", "hosts.a.nics.d.family", "expected 'generic'"),
        (CX7 + "device: {name: x, devlink: netdevsim/netdevsim1}}\n", "hosts.a.nics.d.device", "exactly one of"),
        (CX7 + "device: {devlink: pci/0000:08:00.0}}\n", "hosts.a.nics.d.device.devlink", "like netdevsim/netdevsim1"),
        (CX7 + "device: {serial: MT1, port: 0}}\n", "hosts.a.nics.d.device.serial", "4 to 32 letters and digits"),
        (CX7 + "device: {serial: MT2243X00123}}\n", "hosts.a.nics.d.device", "serial and port go together"),
        (CX7 + "device: {name: x}, steering_mode: hmfs}\n", "hosts.a.nics.d.steering_mode", "dmfs"),
        (CX7 + "device: {name: x}, psid: 'a b'}\n", "hosts.a.nics.d.psid", "PSID"),
        (CX7 + "device: {name: x}, vfs: 257}\n", "hosts.a.nics.d.vfs", "256"),
        (CX7 + "device: {name: x}, vfs: {}}\n", "hosts.a.nics.d.vfs", "whole number"),
        (VF % "address: '01:00:00:00:00:01'", "hosts.a.nics.d.vfs.0.address", "one station"),
        (VF % "tx_max: 1500kbit", "hosts.a.nics.d.vfs.0.tx_max", "whole Mbit/s"),
        (VF % "tx_max: 1Gbit, tx_share: 2Gbit", "hosts.a.nics.d.vfs.0", "more than tx_max"),
        (VF % "address: '02:00:00:00:00:01'}, {address: '02:00:00:00:00:01'", "hosts.a.nics.d.vfs.1.address", "VF 0"),
        (SF % ("", "{number: 1}, {number: 1}"), "hosts.a.nics.d.sfs.1.number", "there twice"),
        (SF % ("eswitch: legacy, ", "{number: 1}"), "hosts.a.nics.d.sfs.0", "of switchdev"),
        (CX7 + "device: {name: x}, nv: {sriov_en: 1}}\n", "hosts.a.nics.d.nv.sriov_en", "name of a setting"),
        (CX7 + "device: {name: x}, nv: {A: 'b c'}}\n", "hosts.a.nics.d.nv.A", "value of a setting"),
        (CX7 + "device: {name: x}, mode: dpdk, carrier: udp}\n", "hosts.a.nics.d.carrier", "not go with mode dpdk"),
        (SIM + "nv: {A: 1}}\n", "hosts.a.nics.d.nv", "is of cards"),
        (SIM + "sfs: [{number: 1}]}\n", "hosts.a.nics.d.sfs", "is of cards"),
        (SIM + "mode: dpdk}\n", "hosts.a.nics.d.mode", "is of cards"),
        (CX7_RULE % ("eswitch: legacy, ", "{redirect: {vf: 0}}"), f"{RULES}.action", "no switch in legacy"),
        (CX7_RULE % ("vfs: 1, ", "{redirect: {vf: 1}}"), f"{RULES}.action", "VF 1 of a NIC with 1"),
        (CX7_RULE % ("sfs: [{number: 1}], ", "{redirect: {sf: 2}}"), f"{RULES}.action", "none of sfs"),
        (CX7_RULE % ("queues: 2, ", "{queue: 2}"), f"{RULES}.action", "queue 2 of a NIC with 2"),
        (CX7_RULE % ("mode: dpdk, ", "{redirect: {vf: 0}}"), f"{RULES}.action", "is the switch's"),
        (E810 + "vf: 2}\n", "hosts.a.nics.d.vf", "unknown field"),
        (E810 + "device: {serial: 00-11}}\n", "hosts.a.nics.d.device.serial", "like 00-11-22-ff-ff-33-44-55"),
        (E810 + "device: {serial: 001122ffff334455}}\n", "hosts.a.nics.d.device", "serial and port go together"),
        (E810 + "device: {port: 0}}\n", "hosts.a.nics.d.device", "expected exactly one of name, mac, pci, serial"),
        (E810 + "ddp: {package: x.pkg, sha256: 12}}\n", "hosts.a.nics.d.ddp.sha256", "expected text"),
        (E810 + "mode: dpdk, carrier: udp}\n", "hosts.a.nics.d.carrier", "does not go with mode dpdk"),
        (E810 + "mode: dpdk, vfs: 2}\n", "hosts.a.nics.d.vfs", "does not go with mode dpdk"),
        (E810 + "mode: dpdk, eswitch: switchdev}\n", "hosts.a.nics.d.eswitch", "does not go with mode dpdk"),
        (E810 + "mode: dpdk, device: {name: d}}\n", "hosts.a.nics.d.device.name", "no kernel device"),
        (RULE + "{redirect: {vf: 0}}}]}}\n", f"{RULES}.action.redirect", "no representor without switchdev"),
        (RULE + "{queue: 9}}]}, queues: 8}\n", f"{RULES}.action.queue", "queue 9 of a NIC with 8"),
        (RULE + "{queue: 1, redirect: {vf: 0}}}]}}\n", f"{RULES}.action", "expected exactly one of queue, redirect"),
        (RULE + "{quue: 1}}]}}\n", f"{RULES}.action.quue", "unknown field"),
        (RULE + "pass}]}}\n", f"{RULES}.action", "expected 'drop'"),
        (RULE + "{queue: 1}}]}, eswitch: switchdev}\n", f"{RULES}.action.queue", "have no queue"),
        (RULE + "{redirect: {vf: 3}}}]}, eswitch: switchdev, vfs: 2}\n", f"{RULES}.action.redirect.vf", "VF 3 of"),
        (RULE + "drop}, {name: r, match: {vlan: 5}, action: drop}]}}\n", RULES[:-1] + "1.name", "name of rule 0 too"),
        (RULE + "drop}, {name: s, match: {}, action: drop}]}}\n", RULES[:-1] + "1.match", "frames that r fits too"),
        (MATCH % "ethertype: 0x0800", f"{RULES}.match.ethertype", "0x0800 is IPv4: a rule could cut off the"),
        (MATCH % "ethertype: 0x86dd", f"{RULES}.match.ethertype", "0x86dd is IPv6"),
        (MATCH % "ethertype: 0x0806, vlan: 5", f"{RULES}.match.ethertype", "0x0806 is ARP"),
        (MATCH % "ethertype: 0x8809", f"{RULES}.match.ethertype", "0x8809 is LACP"),
        (MATCH % "destination: '02:00:00:00:00:01/ff:ff:00:00:00:00'", f"{RULES}.match.destination",
         "has bits outside of its mask: say 02:00:00:00:00:00/ff:ff:00:00:00:00"),
        (MATCH % "source: '02:00:00:00:00:00/00:00:00:00:00:00'", f"{RULES}.match.source", "mask is all zero"),
        (MATCH % "source: '01:80:c2:00:00:0e'", f"{RULES}.match.source", "multicast"),
        (MANY, "hosts.a.nics.d.steering.rules", "at most 512 rules, this has 600"),
        (RULE + "drop}]}, mode: dpdk}\n", "hosts.a.nics.d.device.pci", "PCI address"),
        (
            HOST + "    nics:\n" + "".join(
                f"      p{port}: {{family: e810, device: {{serial: 00-11-22-ff-ff-33-44-55, port: {port}}}, "
                f"ddp: {{package: p.pkg, sha256: {'ab'[port] * 64}}}}}\n" for port in (0, 1)
            ),
            "hosts.a.nics.p1.ddp",
            "p0 of the same card has another",
        ),
        (
            CX7 + "device: {name: x}, steering: {rules: [{name: r, match: {}, action: drop}, {name: r, match: {}, "
            "action: drop}]}}\n",
            "hosts.a.nics.d.steering.rules.1.name",
            "name of rule 0 too",
        ),
        (
            CX7 + "device: {name: x}, steering: {rules: [{name: r, match: {}, action: drop}, {name: s, match: {}, "
            "action: drop}]}}\n",
            "hosts.a.nics.d.steering.rules.1.match",
            "frames that r fits too",
        ),
        (
            HOST + "    nics:\n" + "".join(
                f"      p{port}: {{family: cx7, device: {{serial: MT2243X00123, port: {port}}}, nv: {{A: {port}}}}}\n"
                for port in (0, 1)
            ),
            "hosts.a.nics.p1.nv.A",
            "p0 of the same card has 0",
        ),
        (HOST + "  a.b: {address: 192.0.2.2}\n", "hosts.a.b", "expected a name"),
        (HOST + "  b: {address: 192.0.2.1}\n", "hosts.b.address", "address and port of a"),
        (HOST + "links: {f: {members: []}}\n", "links.f.members", "has members"),
        (HOST + "links: {f: {members: [a], contact: []}}\n", "links.f.contact", "expected a mapping"),
        (PAIR % (LANES, ", contact: {}"), "links.f.contact", "says nothing"),
        (HOST + "defaults: {groups: [x]}\n", "defaults.groups", "only hosts"),
        (HOST + "groups: {unused: {prot: 1}}\n", "groups.unused.prot", "unknown field"),
        (HOST + "apply: {max_unavailable: 0}\n", "apply.max_unavailable", "greater than or equal to 1"),
        (PAIR % (LANES, ", rate: 10"), "links.f.rate", "units"),
        (PAIR % (LANES, ", latency: 1 fortnight"), "links.f.latency", "units"),
        (PAIR % (LANES, ", vlan: 4095"), "links.f.vlan", "less than or equal to 4094"),
        (PAIR % (LANES, ", mtu: 319"), "links.f.mtu", "hold no block"),
        (PAIR % (LANES, ", mtu: 3507"), "links.f.mtu", "does not fit XDP"),
        (PAIR % (LANES + ", mtu: 1400", ""), "hosts.a.nics.data0.mtu", "below the MTU of link f"),
        (PAIR % (LANES, ", mtu: 70000"), "links.f.mtu", "65535"),
        (PAIR % ("lanes: {queues: [0, 0]}", ""), "hosts.a.nics.data0.lanes.queues.1", "twice"),
        (PAIR % ("lanes: {queues: []}", ""), "hosts.a.nics.data0.lanes.queues", "names no queue"),
        (PAIR % ("lanes: {queues: [0], by: vlan}", ""), "hosts.a.nics.data0.lanes.by", "'udp-port' or 'function'"),
        (PAIR % ("lanes: {queues: [0], by: udp-port}", ""), "hosts.a.nics.data0.lanes.by", "does not go with"),
        (PAIR % ("lanes: {queues: [0], on: vf}", ""), "hosts.a.nics.data0.lanes.on", "does not fit"),
        (PAIR % ("lanes: {on: vf 0}", ""), "hosts.a.nics.data0.lanes.on", "this family are on its own queues"),
        (PAIR % ("lanes: {by: function}", ""), "hosts.a.nics.data0.lanes.by", "on a VF or SF only"),
        (BESIDE % "on: [vf 0, pf]", "hosts.a.nics.data0.lanes.on.1", "does not fit"),
        (BESIDE % "on: [vf 1, vf 1]", "hosts.a.nics.data0.lanes.on", "vf1 is there twice"),
        (BESIDE % "on: vf 4", "hosts.a.nics.data0.lanes.on", "vf4 of 2 VFs"),
        (BESIDE % "on: sf 7", "hosts.a.nics.data0.lanes.on", "sf7 is not in sfs"),
        (BESIDE % "on: vf 0", "hosts.a.nics.data0.vfs.0.address", "vf0 carries a lane"),
        (BESIDE % "on: sf 88", "hosts.a.nics.data0.sfs.0.address", "sf88 carries a lane"),
        (BESIDE % "on: vf 1, queues: [0]", "hosts.a.nics.data0.lanes.queues", "has its queue 0 for it"),
        (BESIDE % "on: vf 1}, mode: dpdk, ring: {rx: 64, tx: 64", "hosts.a.nics.data0.lanes.on", "mode dpdk"),
        (BESIDE % "on: vf 1}, carrier: af_packet, ring: {rx: 64, tx: 64", "hosts.a.nics.data0.lanes.on", "af_packet"),
        ((BESIDE % "on: vf 1").replace("pci: '0000:08:00.0'", "devlink: netdevsim/netdevsim1"),
         "hosts.a.nics.data0.lanes.on", "no device that could carry"),
        (PAIR % (LANES + ", carrier: udp", ""), "hosts.a.nics.data0", "needs udp"),
        (PAIR % (LANES + ", udp: {address: 127.0.0.1, port: 9}", ""), "hosts.a.nics.data0.udp", "does not go with"),
        (PAIR % (LANES + ", carrier: udp, udp: {address: 127.0.0.1, port: 9}", ""), "links.f.members", "speaks UDP"),
        (PAIR % (LANES + ", carrier: udp, udp: {address: here, port: 9}", ""), "hosts.a.nics.data0.udp.address", "IP"),
        (PAIR % ("queues: 1", ""), "links.f.members.0", "has no lanes"),
        (PAIR % (LANES, "") + "  g: {members: [a.data0]}\n", "links.g.members.0", "on link f already"),
        (PAIR % (LANES + "}, eth9: {device: {name: data0}", ""), "hosts.a.nics.eth9.device.name", "device of data0"),
        (PAIR % (LANES + "}, e9: {device: {name: e9}, lanes: {queues: [0]}", ""), "hosts.a.nics.e9.lanes", "no link"),
    ],
)  # fmt: skip
def test_mistakes(tmp_path: Path, text: str, path: str, words: str) -> None:
    found = problems(tmp_path, text)
    assert any(problem.path == path and words in problem.message and problem.line for problem in found), found


def test_a_mistake_of_a_match_has_its_column(tmp_path: Path) -> None:
    text = MATCH % "source: '01:80:c2:00:00:0e', destination: '02:00:00:00:00:00/00:00:00:00:00:00'"
    found = sorted((problem.line, problem.col) for problem in problems(tmp_path, text))
    row = text.splitlines()[-1]
    assert found == [(6, row.index(f"'{start}") + 1) for start in ("01:80", "02:00")]


CONTACT = """\
    contact:
      windows:
        - {start: %s, length: %s}
        - {start: 2026-11-23T08:00:00Z, length: 10min, every: %s}
        - {start: 2026-11-22T21:00:00+01:00, length: 1h}
      latency:
        - {from: 2026-11-22T00:00:00Z, latency: %s}
        - {%s: 2026-11-22T12:00:00.5Z, latency: 21min}
"""
LINK = (PAIR % (LANES, "")).replace("f: {members: [a.data0, b.data0]}", "f:\n    members: [a.data0, b.data0]")
FITTING = ("2026-11-22T18:30:00Z", "90min", "95min", "4s", "from")


def test_a_contact_plan(tmp_path: Path) -> None:
    text = LINK + CONTACT % FITTING
    plan = load(write(tmp_path, text)).links["f"].contact
    assert plan is not None
    first, again, last = plan.windows
    assert first.start == 1_795_372_200 * 10**9
    assert (first.length, again.every, last.start - first.start) == (5400 * 10**9, 5700 * 10**9, 5400 * 10**9)
    assert [entry.latency for entry in plan.latency] == [4 * 10**9, 1260 * 10**9]
    assert plan.latency[1].from_ - plan.latency[0].from_ == 43_200_500_000_000


@pytest.mark.parametrize(
    ("place", "value", "path", "line", "col", "words"),
    [
        (0, "yesterday", "windows.0.start", 10, 19, "a moment with its zone, like 2026-11-22T20:00:00Z"),
        (0, "2026-11-22T18:30:00", "windows.0.start", 10, 19, "a moment with its zone"),
        (0, "2026-02-30T18:30:00Z", "windows.0.start", 10, 19, "a moment with its zone"),
        (0, "2026-11-22T18:31:00Z", "windows.2.start", 12, 19, "before the window of 2026-11-22T18:31:00Z has ended"),
        (1, "90", "windows.0.length", 10, 49, "units"),
        (1, "15min", "windows.0.length", 10, 49, "15min is over before anything arrives: the latency is 21min"),
        (2, "600s", "windows.1.every", 11, 63, "always open"),
        (3, "6h", "latency.0.latency", 14, 49, "is above"),
        (4, "at", "latency.1.at", 15, 12, "unknown field"),
    ],
)
def test_mistakes_of_a_contact_plan_have_their_place(
    tmp_path: Path, place: int, value: str, path: str, line: int, col: int, words: str
) -> None:
    values = list(FITTING)
    values[place] = value
    found = problems(tmp_path, LINK + CONTACT % tuple(values))
    wrong = [problem for problem in found if problem.path == f"links.f.contact.{path}"]
    assert [(problem.line, problem.col) for problem in wrong] == [(line, col)], found
    assert words in wrong[0].message


def test_a_latency_table_is_in_order(tmp_path: Path) -> None:
    entry = "{from: 2026-11-22T00:00:00Z, latency: 1s}"
    text = LINK + f"    contact: {{latency: [{entry}, {entry}]}}\n"
    (problem,) = problems(tmp_path, text)
    assert (problem.path, problem.line) == ("links.f.contact.latency.1.from", 8)
    assert problem.message == "is not after the entry before it"


def test_the_ends_must_agree_on_the_mtu(tmp_path: Path) -> None:
    text = PAIR % (LANES + ", mtu: 2000", "")
    text = text.replace("192.0.2.2, nics: {data0: {", "192.0.2.2, nics: {data0: {mtu: 3000, ")
    assert [problem.message for problem in problems(tmp_path, text)] == [
        "the ends do not agree on the MTU: a.data0 2000, b.data0 3000"
    ]
    assert load(write(tmp_path, text.replace("members: [", "mtu: 2000, members: ["))).links["f"].mtu == 2000


def test_peers(tmp_path: Path) -> None:
    text = PAIR % (LANES, "") + "groups: {}\n"
    found = problems(tmp_path, text.replace("a: {address", "a: {peers: [a, nobody, c], address") + "  ")
    assert {problem.message for problem in found} == {
        "is this host itself",
        "unknown peer 'nobody'",
        "unknown peer 'c'",
    }


def test_a_peer_that_shares_no_link(tmp_path: Path) -> None:
    text = (PAIR % (LANES, "")).replace("a: {address", "c: {address: 192.0.2.9}\n  a: {peers: [c], address")
    assert [problem.message for problem in problems(tmp_path, text)] == ["c shares no link with a"]


def test_narrowing_holds_on_both_sides(tmp_path: Path) -> None:
    text = (PAIR % (LANES, "")).replace("b: {address", "b: {peers: [], address")
    inventory = load(write(tmp_path, text))
    assert inventory.peers("a") == inventory.peers("b") == []


def test_colliding_lane_addresses(tmp_path: Path) -> None:
    # Two names whose first lanes hash to one address: a birthday among 40 bits, found by trying names in order.
    assert lane_mac("h637940", "data0", 0) == lane_mac("h1198532", "data0", 0)
    text = (PAIR % (LANES, "")).replace(" a:", " h637940:").replace("a.data0", "h637940.data0")
    text = text.replace(" b:", " h1198532:").replace("b.data0", "h1198532.data0")
    (found,) = problems(tmp_path, text)
    assert "one address: 02:27:8b:3e:0f:2c" in found.message
    assert found.line == 4


def test_what_many_inherit_is_one_mistake(tmp_path: Path) -> None:
    hosts = "".join(f"  h{number}: {{address: 192.0.2.{number}}}\n" for number in range(1, 50))
    found = problems(tmp_path, "tether: 1\ndefaults: {prot: 22}\nhosts:\n" + hosts)
    assert len(found) == 1
    assert (found[0].line, found[0].col) == (2, 12)


def test_groups_as_members(tmp_path: Path) -> None:
    inventory = load(data_path("inventory") / "example-rack.yaml")
    assert inventory.members["east"] == (("c1", "east"), ("c2", "east"), ("c3", "east"), ("s1", "east"))
    assert inventory.peers("c3") == [("s1", "east")]
    assert inventory.peers("c1") == [("c2", "east"), ("s1", "east"), ("c2", "west"), ("c3", "west")][:3]


def test_vlan_is_part_of_a_lane_address() -> None:
    inventory = load(data_path("inventory") / "example-rack.yaml")
    assert {lane.address["vlan"] for lane in inventory.lanes["s1"]} == {100}


def test_keys_lie_beside_the_inventory(tmp_path: Path) -> None:
    inventory = load(write(tmp_path, GOOD, f"hosts: {{a: {{keys: [{'1a' * 32}]}}}}\n"))
    assert inventory.keys == {"a": ("1a" * 32,)}
    assert inventory.keys_file == tmp_path / "inventory.keys.yaml"


def test_unreadable(tmp_path: Path) -> None:
    with pytest.raises(TetherError, match="No such file"):
        load(tmp_path / "none.yaml")


@pytest.mark.parametrize("path", sorted(data_path("inventory").glob("*.yaml")), ids=lambda path: path.name)
def test_what_ships_is_valid(path: Path) -> None:
    assert isinstance(load(path), Inventory)


def test_patterns(tmp_path: Path) -> None:
    inventory = load(data_path("inventory") / "example-rack.yaml")
    assert select(inventory, []) == ["c1", "c2", "c3", "s1"]
    assert select(inventory, ["compute,!c2"]) == ["c1", "c3"]
    assert select(inventory, ["c*", "s1"]) == ["c1", "c2", "c3", "s1"]
    assert select(inventory, ["!storage"]) == ["c1", "c2", "c3"]
    names = tmp_path / "failed"
    names.write_text("# comment\nc1\n\ns1\n")
    assert select(inventory, [f"@{names}"]) == ["c1", "s1"]
    with pytest.raises(TetherError, match="no host or group fits") as caught:
        select(inventory, ["compote"])
    assert caught.value.hint == "did you mean 'compute'?"
    with pytest.raises(TetherError, match="no host is left"):
        select(inventory, ["c1,!c1"])

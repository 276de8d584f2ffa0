# SPDX-License-Identifier: Apache-2.0
"""The shapes of the JSON documents that the suite's verbs print. Tests hold every verb to them."""

from __future__ import annotations

from tether_hw.fleet.shape_words import Schema, anything, arr, document, flag, maybe, obj, table, text, whole
from tether_hw.plan.checks import LINK_CHECKS, LOCAL_CHECKS, RESULTS
from tether_hw.plan.facts import SERVICE_MANAGERS, SERVICE_STATES
from tether_hw.plan.facts_functions import ESWITCH_MODES
from tether_hw.plan.facts_mlx5 import ENCAP_MODES, INLINE_MODES
from tether_hw.plan.kinds.registry import KINDS
from tether_hw.plan.probed import VERDICTS
from tether_hw.plan.rule import ACTIONS, OFFLOADS
from tether_hw.plan.step import DISRUPTIONS

_HEX64 = text("64 hexadecimal digits")
_ARGV = arr(arr(text()), "commands, for people: the host builds its own")
_PATH = arr(text(), "path into the facts' config")
_QUEUES = maybe(obj(optional=("combined", "rx", "tx"), combined=whole(), rx=whole(), tx=whole()))
_RING = maybe(obj(rx=whole(), tx=whole()))

PROBLEM = obj(
    "a mistake in a file",
    file=text(),
    line=whole("from 1; 0: unknown"),
    col=whole("from 1; 0: unknown"),
    path=text("where in the document"),
    message=text(),
    hint=maybe(text("what to do about it")),
)
HOST_FAILURE = obj(
    "a host on which the verb failed",
    host=text(),
    result=text("", "locked", "rolled-back", "unreachable", "refused", "failed"),
    exit=whole("the exit code that this host alone would give"),
    message=text(),
    hint=maybe(text()),
    detail=anything("what else is known, such as both fingerprints or the differences"),
)
CHANGE = obj("one value that changes", path=_PATH, before=anything("value before"), after=anything("value after"))
CONDITION = obj("a value that must be there", path=_PATH, equals=anything("the value"))
NIC_FACTS = obj(
    "one device",
    driver=maybe(text()),
    mac=maybe(text()),
    mtu=whole("bytes"),
    queues=_QUEUES,
    ring=_RING,
    xdp=obj(foreign=flag("an XDP program that is not our running engine's")),
)
_OF_ANY_RULE = ("other", "action", "ethertype", "vlan", "destination", "source", "queue", "target", "offload")
RULE = obj(
    "a steering rule, or `other`: one that this suite cannot have written",
    (*_OF_ANY_RULE, "chain", "goto", "mirror", "police"),
    other=text("what it is"),
    action=text("", *ACTIONS),
    ethertype=whole(),
    vlan=maybe(whole()),
    destination=maybe(obj(address=text(), mask=text())),
    source=maybe(obj(address=text(), mask=text())),
    queue=maybe(whole()),
    target=maybe(text("a device; @pf0vf2.rep: what stands for VF 2 of PF 0; *: it is gone")),
    offload=text("", *OFFLOADS),
    chain=whole("left out: 0"),
    goto=whole("the chain that it leads to"),
    mirror=arr(text("a device that gets a copy")),
    police=obj("frames beyond it are dropped", rate=whole("bit/s"), burst=whole("bytes")),
)
_ADDRESS = maybe(text("that it was given"))
_TX_MAX, _TX_SHARE = whole("bytes a second; 0: no bound"), whole("bytes a second; 0: none")
MLX5_FACTS = obj(
    "what drivers mlx5_core and netdevsim have beside it",
    steering_mode=maybe(text("how rules reach the card")),
    inline=maybe(text("", *INLINE_MODES)),
    encap=maybe(text("", *ENCAP_MODES)),
    autoprobe=maybe(flag("drivers take VFs as soon as they are there")),
    params=table(text(), "parameter of the driver -> its value"),
    vfs=table(obj(address=_ADDRESS, tx_max=_TX_MAX, tx_share=_TX_SHARE, driver=maybe(text())), "by number"),
    sfs=table(
        obj(address=_ADDRESS, tx_max=_TX_MAX, tx_share=_TX_SHARE, active=flag()), "by the number that its maker gave it"
    ),
    nv=table(
        obj(next=text("what the firmware starts with next"), current=text("what it runs with")),
        "setting in the card's memory, of those that are asked for or owned",
    ),
)
FUNCTION_FACTS = obj(
    "one physical function",
    card=maybe(text("its serial number")),
    driver=maybe(text()),
    device=maybe(text("the kernel's name of its device")),
    eswitch=maybe(text("", *ESWITCH_MODES)),
    vfs=whole(),
    ntuple=maybe(obj("filters of ethtool", on=flag(), rules=table(RULE, "by location"))),
    flower=maybe(
        obj(
            "filters of tc",
            hook=flag("the qdisc that they hang on is there"),
            offload=flag("hw-tc-offload is on"),
            rules=table(RULE, "by pref/handle, with .chain where that is not 0"),
        )
    ),
    mlx5=maybe(MLX5_FACTS),
)
CARD_FACTS = obj(
    "one card",
    package=maybe(obj(name=text(), version=text())),
    safe_mode=flag("its driver found no package that it could use"),
    files=table(maybe(_HEX64), "package file that its driver looks for -> digest, null when it is not there"),
)
CONFIG = obj(
    "all that a plan may change; compared as a whole",
    nics=table(NIC_FACTS, "by the kernel's name"),
    functions=table(FUNCTION_FACTS, "by PCI address, or netdevsim's name"),
    cards=table(CARD_FACTS, "by serial number"),
    engine=obj(
        config_sha256=maybe(_HEX64),
        config=anything("content of the engine's file, or null"),
        roster_sha256=maybe(_HEX64),
        roster=anything("content of the roster, or null"),
        unit_sha256=maybe(_HEX64),
        service=text("", *SERVICE_STATES),
        bundle=maybe(_HEX64),
    ),
    keys=obj(node=maybe(_HEX64)),
)
_VERDICT = obj("what comes of a rule for hardware only", verdict=text("", *VERDICTS), words=text())
STATUS = obj(
    "what is known beside config",
    ("probed",),
    kernel=text(),
    kernel_config=table(maybe(text()), "option -> y, m or n; null: nobody knows"),
    boot_id=maybe(text("changes with every boot")),
    arch=text(),
    python=text(),
    tools=table(maybe(text()), "program -> its path, null when it is not there"),
    root=text("absolute"),
    user=text(),
    is_root=flag(),
    cpus=whole(),
    service_manager=text("", *SERVICE_MANAGERS),
    carriers=table(maybe(text()), "carrier -> null when it can be used, else why not"),
    devices=arr(
        obj(
            selector=table(anything("text; a number for port")),
            device=maybe(text()),
            function=maybe(text("PCI address, or netdevsim's name")),
        ),
        "each device asked for and what it is here",
    ),
    functions=table(
        obj(
            port=whole("its place on the card"),
            vfs_max=whole(),
            vf_drivers=table(maybe(text()), "VF -> the driver that has it"),
            ntuple_size=maybe(whole("locations of its table of filters")),
            driver_version=maybe(text()),
            firmware=table(text(), "part -> version"),
            representors=table(text(), "symbolic name -> device"),
            lldp=maybe(flag("the firmware answers LLDP; the card then takes no rules of tc")),
            rides_ssh=flag("the session comes over it"),
            psid=maybe(text("which board and settings its firmware is for")),
            nv_default=table(text(), "setting in the card's memory -> what it is unless somebody sets it"),
        ),
        "by PCI address, or netdevsim's name",
    ),
    cards=table(obj(search=arr(text(), "package files in the order in which the driver looks")), "by serial number"),
    limits=table(obj(mtu_min=maybe(whole()), mtu_max=maybe(whole()), queues_max=_QUEUES, ring_max=_RING), "by device"),
    links=arr(
        obj(name=text(), mac=maybe(text()), driver=maybe(text()), carrier=flag("up, and its other end is there")),
        "all links but loopback",
    ),
    owned=arr(obj(path=_PATH, before=anything("before us"), set=anything("what we set"))),
    pending=maybe(obj(run=text(), holder=text(), since=text())),
    probed=table(
        table(obj(flower=_VERDICT, u32=_VERDICT, at=text("when")), "by mode of the e-switch"),
        "what probes found that still holds, by function",
    ),
)
FACTS = document("tether.facts/1", "the facts of one host", host=text(), config=CONFIG, status=STATUS)

_FLAT = {
    "id": text("unique on its host"),
    "host": text(),
    "nic": maybe(text("name in the inventory")),
    "kind": text("", *KINDS),
    "disruption": text("", *DISRUPTIONS),
    "summary": text("for people"),
    "effect": arr(CHANGE),
}
FLAT_STEP = obj(
    "a step in short",
    (),
    False,
    **_FLAT,
    undo=maybe(arr(arr(text()), "commands that take it back, for people; null: there is none")),
    undo_reason=maybe(text("why there is no undo")),
)
STEP = obj(
    "a step in full",
    (),
    False,
    **_FLAT,
    data=anything("typed by kind"),
    pre=arr(CONDITION),
    post=arr(CONDITION),
    timeout_s=whole(),
    undo=maybe(obj(data=anything("data of the same kind"), argv=_ARGV)),
    undo_reason=maybe(text()),
    argv=_ARGV,
)
CHECK = obj(
    "what is proved afterwards",
    id=text(),
    check=text("", *LOCAL_CHECKS, *LINK_CHECKS),
    nic=maybe(text()),
    data=anything("by check"),
)
PLAN = document(
    "tether.plan/1",
    "what would change. A saved plan has no `failed`",
    ("failed",),
    id=text("digest of everything but `made`"),
    made=text("UTC"),
    suite=text("version"),
    inventory=text(),
    changes=whole("number of steps"),
    steps=arr(FLAT_STEP, "the steps of all hosts"),
    hosts=table(
        obj(
            root=text(),
            facts_digest=_HEX64,
            config=CONFIG,
            bundle=maybe(_HEX64),
            steps=arr(STEP),
            checks=arr(CHECK),
            boot=maybe(
                obj(
                    "what makes the host this again at every boot; null: nothing does",
                    root=text(),
                    facts_digest=_HEX64,
                    config=CONFIG,
                    bundle=maybe(_HEX64),
                    steps=arr(STEP),
                    checks=arr(CHECK, "none"),
                    boot=maybe(anything("null")),
                )
            ),
        )
    ),
    notes=arr(obj(host=text(), note=text())),
    refusals=arr(obj(host=text(), reason=text()), "hosts that cannot be as the inventory says, every reason"),
    not_for_apply=arr(text(), "why this plan cannot be applied; empty when it can"),
    failed=arr(HOST_FAILURE, "hosts whose facts could not be read"),
)
FACTS_LIST = document(
    "tether.facts.list/1",
    "the facts of some hosts",
    hosts=table(obj(facts_digest=_HEX64, facts=FACTS)),
    failed=arr(HOST_FAILURE),
)
VALIDATE = document("tether.validate/1", "mistakes", inventory=text(), valid=flag(), problems=arr(PROBLEM))
ERROR = document(
    "tether.error/1",
    "a verb that could not give its own document",
    ("reason",),
    reason=text("one word, from an engine: disk-full, nobody-receives, unknown-peer, ..."),
    verb=text(),
    exit=whole(),
    message=text(),
    hint=maybe(text()),
    problems=arr(PROBLEM),
)
RENDER = document("tether.render/1", "files that were written", hosts=table(arr(text("path"))))
INIT = document("tether.init/1", "files that were written", files=arr(text("path")))
DOCTOR = document(
    "tether.doctor/1",
    "what this machine has and lacks",
    checks=arr(
        obj(
            check=text(),
            result=text("", "ok", "lacks", "note"),
            found=text(),
            needed_for=text("", "controller", "lab"),
            next=maybe(text("the command that mends it, or the next step")),
        )
    ),
)
SCHEMA_LIST = document("tether.schema.list/1", "the schemas that there are", schemas=table(text("what it is of")))
PROOF = obj(
    "one check, carried out",
    more=True,
    id=text(),
    host=text(),
    nic=maybe(text()),
    check=text("boot: a boot plan that failed at the last boot", *LOCAL_CHECKS, *LINK_CHECKS, "boot"),
    result=text("", *RESULTS),
    evidence=anything("what was seen"),
)

SHAPES: dict[str, Schema] = {
    shape["properties"]["schema"]["const"]: shape
    for shape in (PLAN, FACTS, FACTS_LIST, VALIDATE, RENDER, INIT, DOCTOR, SCHEMA_LIST, ERROR)
}

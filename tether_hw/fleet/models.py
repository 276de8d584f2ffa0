# SPDX-License-Identifier: Apache-2.0
"""The models of an inventory file. Values inherited from groups and defaults are merged before these are made."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from tether_hw.fleet.cards import Card
from tether_hw.nic.bluefield.model import BluefieldNic
from tether_hw.nic.cx7.model import Cx7Nic
from tether_hw.nic.e810.model import E810Nic
from tether_hw.nic.generic.model import GenericNic
from tether_hw.nic.model import Model, Name, PlainName
from tether_hw.nic.units import RateBps, TimeNs, UnixNs

DEFAULT_RATE_BPS = 10 * 10**9
DEFAULT_LATENCY_NS = 20_000
DEFAULT_SILENCE_NS = 1_000_000
DEFAULT_MTU = 1500

#: A public key as ssh-keygen writes it.
OperatorKey = Annotated[
    str,
    Field(pattern=r"^ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI[A-Za-z0-9+/]{43}( [^\x00-\x1f\x7f]{1,100})?$"),
]
OperatorReference = Annotated[str, Field(pattern=r"^(file:[^\x00-\x1f\x7f]+|agent:SHA256:[A-Za-z0-9+/]{43})$")]
SecretReference = Annotated[str, Field(pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+|keyring:[^/]+/.+)$")]
UserName = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")]
Port = Annotated[int, Field(ge=1, le=65535)]


FAMILIES = {"bluefield": BluefieldNic, "cx7": Cx7Nic, "e810": E810Nic, "generic": GenericNic}


def _family(value: Any) -> str:
    """Which model a NIC is read by."""
    family = value.get("family", "generic") if isinstance(value, dict) else getattr(value, "family", "generic")
    return family if isinstance(family, str) else "generic"


AnyNic = Annotated[
    Annotated[GenericNic, Tag("generic")]
    | Annotated[E810Nic, Tag("e810")]
    | Annotated[Cx7Nic, Tag("cx7")]
    | Annotated[BluefieldNic, Tag("bluefield")],
    Discriminator(_family),
]


def _root(value: str) -> str:
    if not (value.startswith(("/", "~/")) or value == "~"):
        raise ValueError("expected an absolute path, or one that starts with ~/")
    if any(character in value for character in "\0\n") or ".." in value.split("/"):
        raise ValueError("expected a path without .. and control characters")
    return value.rstrip("/") or "/"


class Access(Model):
    """How a session to a machine is made."""

    address: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9][A-Za-z0-9.:_%-]*$")] = Field(
        description="name or IP address of its sshd"
    )
    port: Port = 22
    user: UserName | None = Field(None, description="login user; who runs this command when left out")
    jump: Name | None = Field(None, description="the machine of `jumps`, or the host, that the session goes through")
    identity_file: Annotated[str, Field(min_length=1, max_length=4096)] | None = Field(
        None, description="path of a private key; the agent's keys and the usual files when left out"
    )
    passphrase: SecretReference | None = Field(None, description="reference to the passphrase of identity_file")


class Limits(Model):
    """Sizes that an engine allocates at its start."""

    max_message_bytes: int = Field(16_777_216, ge=1, le=1 << 32)
    rx_cells: int = Field(65_536, ge=64, le=1 << 24, description="frames of receive buffer per lane")
    tx_cells: int = Field(16_384, ge=64, le=1 << 24, description="frames of send buffer per lane")
    max_channels: int = Field(64, ge=1, le=65_536)
    max_flows: int = Field(64, ge=1, le=4_096)
    lamp_per_s: int = Field(
        10_000,
        ge=1,
        le=100_000_000,
        description="Hails that a lane looks at per second; those without a good mac1 are free",
    )
    lamp_source_per_s: int = Field(100, ge=1, le=100_000_000, description="the same, of one source address")
    agreement_per_s: int = Field(
        500, ge=1, le=1_000_000, description="key agreements that Hails may cost a lane per second"
    )
    rekey_s: int = Field(
        120, ge=1, le=31_536_000, description="age at which a channel gets new keys, or 10 round trips"
    )
    grant_policy: Literal["fair", "srpt", "reserved"] = Field(
        "fair",
        description="whom receive buffer is granted to first: all in turn, the shortest remaining, flows with a budget",
    )
    early_bytes: int = Field(
        0, ge=0, le=65_472, description="bytes of a message of early data, sent or taken; 0: none is"
    )


class Metrics(Model):
    """The Prometheus endpoint."""

    listen: Annotated[str, Field(pattern=r"^([0-9.]{7,15}|\[[0-9a-f:]{2,39}\]):[0-9]{1,5}$")]


class Engine(Model):
    """The engine of a host."""

    user: UserName | None = Field(None, description="tether, or the login user where `root` is not /")
    carrier: Literal["auto", "udp", "af_packet", "af_xdp"] = "auto"
    metrics: Metrics | None = None
    limits: Limits = Limits()
    cpus: Literal["by-lane"] | list[Annotated[int, Field(ge=0, le=4095)]] | None = Field(
        None, description="the CPU of each lane; by-lane: lane number modulo the host's CPUs"
    )


class Host(Access):
    """A managed host."""

    sudo: bool = Field(False, description="become root with sudo after login")
    sudo_password: SecretReference | None = Field(None, description="reference to the password that sudo asks for")
    helper: bool = Field(
        False, description="root only by the helper that `tether host bootstrap` places; sudo is for that verb then"
    )
    root: Annotated[str, AfterValidator(_root)] = Field("/", description="folder that stands for / on this host")
    groups: list[PlainName] = Field(default_factory=list, description="groups it inherits from; the first one wins")
    nics: dict[PlainName, AnyNic] = Field(default_factory=dict)
    engine: Engine = Engine()
    peers: list[PlainName] | None = Field(None, description="hosts it talks to; all on its links when left out")


class Window(Model):
    """A stretch of contact."""

    start: UnixNs = Field(description="when it opens, with its zone")
    length: TimeNs
    every: TimeNs | None = Field(None, description="it opens again and again; once when left out")


class LatencyFrom(Model):
    """What the latency of a link is from some moment on."""

    from_: UnixNs = Field(alias="from")
    latency: TimeNs = Field(description="one way")


class Contact(Model):
    """When a link can be used, and how its latency changes: the same plan for all of its members."""

    windows: list[Window] = Field(default_factory=list, description="nothing is sent outside; always when left out")
    latency: list[LatencyFrom] = Field(default_factory=list, description="before the first the link's own holds")


class Link(Model):
    """What connects NICs. Its constants are declared, never measured."""

    members: list[Name] = Field(description="host.nic, group.nic, or a group whose hosts have one NIC with lanes")
    mtu: int | None = Field(
        None, ge=68, le=65535, description="bytes; 1500 when left out, and then not imposed on NICs"
    )
    vlan: int | None = Field(None, ge=1, le=4094)
    rate: RateBps = Field(DEFAULT_RATE_BPS, description="bits per second")
    latency: TimeNs = Field(DEFAULT_LATENCY_NS, description="one way")
    silence: TimeNs = Field(DEFAULT_SILENCE_NS, description="shortest wait before a lost frame is asked for")
    delivers: Literal["by-lane"] | None = Field(
        None, description="by-lane: the fabric picks the receiver's queue by lane address"
    )
    contact: Contact | None = Field(None, description="contact windows and latencies, in calendar time")


class Apply(Model):
    """How changes are carried out."""

    max_unavailable: int = Field(1, ge=1, description="hosts at a time for steps of class function-reset or worse")
    confirm_timeout_s: int = Field(60, ge=5, le=86_400, description="a host that is not confirmed by then goes back")
    time_scale: float = Field(1.0, ge=0.1, le=100, description="factor on every deadline, for slow machines")


_CONFIG_TABLES = ("nics", "functions", "cards", "engine", "keys")


def _until(value: str) -> str:
    try:
        date.fromisoformat(value)
    except ValueError:
        raise ValueError("expected a day like 2027-01-31") from None
    return value


def _config_path(value: str) -> str:
    if value.partition(".")[0] not in (*_CONFIG_TABLES, "*"):
        raise ValueError(f"expected a path of config that begins with {', '.join(_CONFIG_TABLES)} or *")
    return value


class Noise(Model):
    """A difference that is known, and no drift until a day."""

    path: Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_config_path)] = Field(
        description="path into config as `tether drift` shows it; * and ? stand for any characters"
    )
    hosts: list[Annotated[str, Field(min_length=1, max_length=256)]] = Field(
        default_factory=list, description="names, globs or groups; all hosts when left out"
    )
    reason: Annotated[str, Field(min_length=1, max_length=256)]
    until: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"), AfterValidator(_until)] = Field(
        description="the last day on which it is ignored"
    )


class Drift(Model):
    """What `tether drift` need not tell."""

    ignore: list[Noise] = Field(default_factory=list, description="known noise; what is past its day is told again")


class Top(Model):
    """An inventory file. `defaults` and `groups` hold fields of hosts; they are checked where they are inherited."""

    tether: Literal[1] = Field(description="version of this format")
    keys_file: str | None = Field(None, description="public identity keys; <inventory>.keys.yaml when left out")
    known_hosts: str | None = Field(None, description="SSH host keys; ~/.ssh/known_hosts when left out")
    state: str | None = Field(None, description="folder of this controller's own records")
    jumps: dict[PlainName, Access] = Field(default_factory=dict, description="machines that sessions go through")
    hosts: dict[PlainName, Host] = Field(default_factory=dict)
    links: dict[PlainName, Link] = Field(default_factory=dict)
    cards: dict[PlainName, Card] = Field(
        default_factory=dict, description="cards with two places to log in: the Arm on the card, and the host"
    )
    apply: Apply = Apply()
    drift: Drift = Drift()
    operators: list[OperatorKey] = Field(
        default_factory=list, description="public keys of those who may change hosts, placed by `tether host bootstrap`"
    )
    operator: OperatorReference | None = Field(
        None, description="whose key signs here: file:PATH, or agent:FINGERPRINT of ssh-agent; or TETHER_OPERATOR"
    )
    operator_passphrase: SecretReference | None = Field(None, description="reference to the passphrase of that file")


class HostKeys(Model):
    """The identity keys of one host: two while one is replaced."""

    keys: list[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]] = Field(min_length=1, max_length=2)


class KeysFile(Model):
    """The keys file."""

    hosts: dict[PlainName, HostKeys] = Field(default_factory=dict)

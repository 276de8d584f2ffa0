# SPDX-License-Identifier: Apache-2.0
"""All JSON Schemas by name: files that people write, documents that verbs print."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tether_hw.fleet.ddp_shapes import DDP_SHAPES
from tether_hw.fleet.models import KeysFile, Top
from tether_hw.fleet.run_shapes import RUN_SHAPES
from tether_hw.fleet.shapes import SHAPES
from tether_hw.fleet.sim_shapes import SIM_SHAPES
from tether_hw.fleet.trace_shapes import TRACE_SHAPES
from tether_hw.nic.cx7.capability import Capabilities as Cx7Capabilities
from tether_hw.nic.e810.capability import Capabilities
from tether_hw.nic.e810.profile import ParserProfile
from tether_hw.nic.generic.profile import Profile

DOCUMENTS = {**SHAPES, **RUN_SHAPES, **TRACE_SHAPES, **SIM_SHAPES, **DDP_SHAPES}
DIALECT = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True)
class Entry:
    """One schema: what it is of, and how it is made."""

    about: str
    make: Callable[[], dict[str, Any]]


def _inventory() -> dict[str, Any]:
    """The inventory's schema: `defaults` and `groups` hold fields of hosts, none of them required there."""
    schema = Top.model_json_schema()
    definitions = schema["$defs"]
    # A NIC whose family is inherited fits the model of either family.
    for union in (
        *definitions["Host"]["properties"]["nics"]["patternProperties"].values(),
        definitions["WantedRule"]["properties"]["action"],
        definitions["Cx7Nic"]["properties"]["vfs"]["anyOf"][0],
    ):
        union["anyOf"] = union.pop("oneOf")
    partial = {key: value for key, value in definitions["Host"].items() if key != "required"}
    partial["description"] = "Fields that hosts inherit."
    partial["properties"] = {name: value for name, value in partial["properties"].items() if name != "groups"}
    definitions["Inherited"] = partial
    # What a host inherits need not stand in it.
    definitions["Host"] = {key: value for key, value in definitions["Host"].items() if key != "required"}
    for name in ("GenericNic", "E810Nic", "Cx7Nic", "BluefieldNic", "Sf", "Ddp", "Udp", "Metrics"):
        definitions[name] = {key: value for key, value in definitions[name].items() if key != "required"}
    schema["properties"]["defaults"] = {"$ref": "#/$defs/Inherited"}
    schema["properties"]["groups"] = {"type": "object", "additionalProperties": {"$ref": "#/$defs/Inherited"}}
    schema["title"] = "Tether inventory"
    return schema


def _shape(name: str) -> Callable[[], dict[str, Any]]:
    return lambda: DOCUMENTS[name]


SCHEMAS: dict[str, Entry] = {
    "inventory": Entry("an inventory file", _inventory),
    "keys": Entry("a keys file", KeysFile.model_json_schema),
    "profile": Entry("a driver of the NIC family generic", Profile.model_json_schema),
    "e810-driver": Entry("what the driver of E810 cards can be asked for", Capabilities.model_json_schema),
    "cx7-driver": Entry(
        "what a driver of ConnectX cards, or netdevsim, can be asked for", Cx7Capabilities.model_json_schema
    ),
    "parser-profile": Entry("what the parser of an E800 is taught", ParserProfile.model_json_schema),
    **{name: Entry(shape["description"], _shape(name)) for name, shape in DOCUMENTS.items()},
}


def json_schema(name: str) -> dict[str, Any]:
    """The JSON Schema of this name."""
    return {"$schema": DIALECT, **SCHEMAS[name].make()}

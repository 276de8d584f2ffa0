# SPDX-License-Identifier: Apache-2.0
"""The grammar of the engine's systemd unit: a rendered unit is read by it before it travels, and again on the host."""

from __future__ import annotations

import re

#: Section -> directive -> the values that it may have. What is not listed here does not travel.
ALLOWED: dict[str, dict[str, str]] = {
    "Unit": {
        "Description": r"[A-Za-z0-9 .,'()-]{1,120}",
        "Documentation": r"https://[A-Za-z0-9./_-]{1,200}",
        "After": r"network\.target",
    },
    "Service": {
        "Type": r"exec",
        "User": r"[a-z_][a-z0-9_-]{0,31}",
        "Group": r"[a-z_][a-z0-9_-]{0,31}",
        "ExecStart": r"/[A-Za-z0-9._/-]+/opt/tether/[0-9a-f]{64}/bin/tether-engine serve --config /[A-Za-z0-9._/-]+"
        r"|/opt/tether/[0-9a-f]{64}/bin/tether-engine serve --config /[A-Za-z0-9._/-]+",
        "ExecReload": r"/bin/kill -HUP \$MAINPID",
        "Restart": r"on-failure|no",
        "RestartSec": r"[0-9]{1,3}",
        "RuntimeDirectory": r"tether",
        "RuntimeDirectoryMode": r"07[05][05]",
        "RuntimeDirectoryPreserve": r"yes|no",
        "StateDirectory": r"tether/engine",
        "StateDirectoryMode": r"0700",
        "AmbientCapabilities": r"|CAP_[A-Z_]+( CAP_[A-Z_]+)*",
        "CapabilityBoundingSet": r"|CAP_[A-Z_]+( CAP_[A-Z_]+)*",
        "LimitMEMLOCK": r"infinity|[0-9]+",
        "LimitNOFILE": r"[0-9]+",
        "UMask": r"0077",
        "NoNewPrivileges": r"yes",
        "ProtectSystem": r"strict",
        "ProtectHome": r"yes|read-only",
        "PrivateTmp": r"yes",
        "PrivateDevices": r"yes",
        "ProtectKernelModules": r"yes",
        "ProtectKernelLogs": r"yes",
        "ProtectControlGroups": r"yes",
        "ProtectClock": r"yes",
        "ProtectHostname": r"yes",
        "RestrictAddressFamilies": r"AF_[A-Z0-9_]+( AF_[A-Z0-9_]+)*",
        "RestrictNamespaces": r"yes",
        "RestrictRealtime": r"yes",
        "RestrictSUIDSGID": r"yes",
        "LockPersonality": r"yes",
        "MemoryDenyWriteExecute": r"yes",
        "SystemCallArchitectures": r"native",
    },
}
REQUIRED = (("Service", "ExecStart"), ("Service", "User"))
_SECTION = re.compile(r"\[([A-Za-z]+)\]\Z")


class UnitError(ValueError):
    """A unit that is not of our grammar; says the line."""


def parse_unit(text: str) -> dict[str, dict[str, str]]:
    """Read a unit strictly: section -> directive -> value. Raises UnitError."""
    sections: dict[str, dict[str, str]] = {}
    section = ""
    if not text.endswith("\n"):
        raise UnitError("the last line has no end")
    for number, line in enumerate(text[:-1].split("\n"), 1):
        if line == "" or line.startswith("#"):
            continue
        if not line.isascii() or not line.isprintable():
            raise UnitError(f"line {number}: only printable ASCII is allowed")
        heading = _SECTION.match(line)
        if heading:
            section = heading.group(1)
            if section not in ALLOWED or section in sections:
                raise UnitError(f"line {number}: section {section} is unknown or there twice")
            sections[section] = {}
            continue
        name, equals, value = line.partition("=")
        if not equals or not section:
            raise UnitError(f"line {number}: expected Directive=value in a section")
        pattern = ALLOWED[section].get(name)
        if pattern is None:
            raise UnitError(f"line {number}: directive {name!r} is not one of ours")
        if name in sections[section]:
            raise UnitError(f"line {number}: directive {name} is there twice")
        if not re.fullmatch(pattern, value):
            raise UnitError(f"line {number}: {name}={value!r} is not allowed")
        sections[section][name] = value
    for required_section, name in REQUIRED:
        if name not in sections.get(required_section, {}):
            raise UnitError(f"{name} is missing in [{required_section}]")
    return sections

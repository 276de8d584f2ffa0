# SPDX-License-Identifier: Apache-2.0
"""known_hosts: a host shows the recorded key or there is no session."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from tether_hw.fleet.ssh_errors import HostKeyRefused

if TYPE_CHECKING:
    import paramiko

_RSA_SIGNATURES = ("rsa-sha2-512", "rsa-sha2-256")


def fingerprint(key: bytes) -> str:
    """The fingerprint that ssh-keygen -l prints: SHA256 of the key blob, base64 without padding."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def known_name(address: str, port: int) -> str:
    """How known_hosts spells a host."""
    return address if port == 22 else f"[{address}]:{port}"


class HostKeys:
    """The recorded keys of one known_hosts file."""

    def __init__(self, path: Path, keys: paramiko.HostKeys, revoked: frozenset[str]) -> None:
        self.path = path
        self._keys = keys
        self._revoked = revoked

    @classmethod
    def load(cls, path: Path | None) -> HostKeys:
        """Read a known_hosts file (default ~/.ssh/known_hosts); a missing file knows nobody.

        A line that is no key is passed over, as OpenSSH does; so are certificate authorities, which are not used.
        """
        import paramiko
        from paramiko.hostkeys import HostKeyEntry, InvalidHostKey

        path = path or Path("~/.ssh/known_hosts").expanduser()
        keys = paramiko.HostKeys()
        revoked = set()
        if path.is_file():
            for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
                words = line.split()
                if len(words) >= 4 and words[0] == "@revoked":
                    revoked.add(words[3])
                elif words and not words[0].startswith(("#", "@")):
                    try:
                        entry = HostKeyEntry.from_line(" ".join(words), number)
                    except InvalidHostKey:
                        continue
                    if entry is not None and entry.key is not None:
                        for name in entry.hostnames or ():
                            keys.add(name, entry.key.get_name(), entry.key)
        return cls(path, keys, frozenset(revoked))

    def preferred(self, address: str, port: int, usual: tuple[str, ...]) -> tuple[str, ...]:
        """Key algorithms, those first of which we have a key: otherwise a host with several keys shows another one."""
        entry = self._keys.lookup(known_name(address, port))
        have: list[str] = []
        for kind in entry or ():
            have.extend(_RSA_SIGNATURES if kind == "ssh-rsa" else (kind,))
        first = [kind for kind in usual if kind in have]
        return (*first, *(kind for kind in usual if kind not in first))

    def check(self, host: str, address: str, port: int, shown: paramiko.PKey) -> None:
        """Raises HostKeyRefused unless `shown` is the recorded key; says both fingerprints."""
        name = known_name(address, port)
        new = fingerprint(shown.asbytes())
        if shown.get_base64() in self._revoked:
            raise HostKeyRefused(host, f"the host key {new} of {name} is revoked in {self.path}")
        entry = self._keys.lookup(name)
        recorded = [] if entry is None else [entry[kind] for kind in entry]
        if any(key.asbytes() == shown.asbytes() for key in recorded):
            return
        if not recorded:
            raise HostKeyRefused(
                host,
                f"the host key of {name} is not known: it shows {shown.get_name()} {new}",
                hint=f"compare it with the host's console, then add it to {self.path}",
            )
        old = ", ".join(f"{key.get_name()} {fingerprint(key.asbytes())}" for key in recorded)
        raise HostKeyRefused(
            host,
            f"the host key of {name} changed: recorded {old}, shown {shown.get_name()} {new}",
            hint=f"if the host was installed anew, replace its line in {self.path}",
        )

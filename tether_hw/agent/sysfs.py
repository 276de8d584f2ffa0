# SPDX-License-Identifier: Apache-2.0
"""The kernel's sysfs of this host, by paths below /sys. All that the agent reads and writes there goes through here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional

from tether_hw.agent.errors import AgentError


class Sysfs:
    def __init__(self, root: str = "/sys") -> None:
        self.root = Path(root)

    def read(self, path: str) -> Optional[str]:
        """The value of an attribute; None when it is not there or cannot be read."""
        content = self.read_bytes(path)
        return None if content is None else content.decode(errors="replace").strip()

    def read_bytes(self, path: str) -> Optional[bytes]:
        try:
            return (self.root / path).read_bytes()
        except OSError:
            return None

    def entries(self, path: str) -> list[str]:
        """The names in a folder, sorted; none when it is not there."""
        try:
            return sorted(os.listdir(self.root / path))
        except OSError:
            return []

    def target(self, path: str) -> Optional[str]:
        """The last part of what a link points to; None when there is no link."""
        try:
            return os.path.basename(os.readlink(self.root / path))
        except OSError:
            return None

    def write(self, path: str, text: str) -> None:
        """Write an attribute. Raises AgentError with what the kernel says."""
        place = self.root / path
        try:
            descriptor = os.open(place, os.O_WRONLY)
            try:
                os.write(descriptor, text.encode())
            finally:
                os.close(descriptor)
        except OSError as error:
            raise AgentError("%s to %s: %s" % (text, place, error.strerror)) from None


#: The one of this host.
SYSFS = Sysfs()

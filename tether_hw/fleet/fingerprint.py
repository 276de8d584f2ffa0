# SPDX-License-Identifier: Apache-2.0
"""Identity keys as people compare them."""

from __future__ import annotations

import base64
import hashlib


def fingerprint(key: str) -> str:
    """A public identity key (hex) in the short form by which people compare keys."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(bytes.fromhex(key)).digest()).decode().rstrip("=")

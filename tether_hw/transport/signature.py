# SPDX-License-Identifier: Apache-2.0
"""Ed25519 signatures of operators, checked by the library that is in every bundle."""

from __future__ import annotations

from .errors import TransportError
from .library import load

KEY_BYTES = 32
SIGNATURE_BYTES = 64
_NOT_BY_THIS_KEY = -74  # -EBADMSG


def signed_by(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """True when the holder of this key signed exactly this message."""
    if len(public_key) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    code = load().tether_signature_check(public_key, message, len(message), signature)
    if code not in (0, _NOT_BY_THIS_KEY):
        raise TransportError(f"no signature can be checked ({code})")
    return bool(code == 0)

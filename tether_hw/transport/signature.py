# SPDX-License-Identifier: Apache-2.0
"""Ed25519 signatures of operators, checked by the library that is in every bundle."""

from __future__ import annotations

import ctypes

from .errors import TransportError
from .library import load

KEY_BYTES = 32
SIGNATURE_BYTES = 64
_NOT_BY_THIS_KEY = -74  # -EBADMSG


def signed_by(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """True when the holder of this key signed exactly this message."""
    if len(public_key) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    code = load().tether_signature_check(
        _bytes(public_key), _bytes(message), len(message), _bytes(signature)
    )
    if code not in (0, _NOT_BY_THIS_KEY):
        raise TransportError(f"no signature can be checked ({code})")
    return bool(code == 0)


def _bytes(value: bytes) -> ctypes.Array[ctypes.c_uint8]:
    return (ctypes.c_uint8 * len(value)).from_buffer_copy(value)

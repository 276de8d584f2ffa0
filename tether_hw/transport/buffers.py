# SPDX-License-Identifier: Apache-2.0
"""Addresses of Python buffers for the library, without copying them, read-only ones included."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class _PyBuffer(ctypes.Structure):
    """Py_buffer of CPython's buffer protocol."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.py_object),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.POINTER(ctypes.c_ssize_t)),
        ("strides", ctypes.POINTER(ctypes.c_ssize_t)),
        ("suboffsets", ctypes.POINTER(ctypes.c_ssize_t)),
        ("internal", ctypes.c_void_p),
    )


_get = ctypes.pythonapi.PyObject_GetBuffer
_get.argtypes = (ctypes.py_object, ctypes.POINTER(_PyBuffer), ctypes.c_int)
_get.restype = ctypes.c_int
_release = ctypes.pythonapi.PyBuffer_Release
_release.argtypes = (ctypes.POINTER(_PyBuffer),)
_release.restype = None

_SIMPLE = 0
_WRITABLE = 1


@contextmanager
def pinned(data: Any, writable: bool = False) -> Iterator[tuple[int, int]]:
    """(address, length in bytes) of a contiguous buffer, held in place inside the block.

    Raises BufferError for a buffer that is not contiguous, or read-only where `writable` is asked for.
    """
    view = _PyBuffer()
    _get(data, ctypes.byref(view), _WRITABLE if writable else _SIMPLE)
    try:
        yield (view.buf or 0), view.len
    finally:
        _release(ctypes.byref(view))

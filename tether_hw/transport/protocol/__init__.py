# SPDX-License-Identifier: Apache-2.0
"""Readable reference of RFC 0001's codecs, written from its text; the oracle beside the C core, no fallback.

It runs on the controller and in tests only. What needs the `cryptography` package imports it where it is used.
"""

# SPDX-License-Identifier: Apache-2.0
"""Why a host could not be talked to; `HostUnreachable` of `tether_hw.errors` stands for no session at all."""

from __future__ import annotations

from tether_hw.errors import HostFailed, HostRefused


class HostKeyRefused(HostRefused):
    """Unknown, changed or revoked host key."""


class AuthenticationRefused(HostRefused):
    """The host does not let us in, or sudo does not."""


class Stopped(HostFailed):
    """A session was there, then it stopped in mid-exec or was lost."""

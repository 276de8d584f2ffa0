# SPDX-License-Identifier: Apache-2.0
"""The engine's configuration file."""

from __future__ import annotations

from tether_hw.plan.kinds.engine_file import EngineFile


class EngineConfig(EngineFile):
    """`content` is a `tether.engine/1` document. The engine reads it when it starts."""

    kind = "engine_config"
    name = "engine"

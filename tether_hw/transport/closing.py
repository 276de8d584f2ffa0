# SPDX-License-Identifier: Apache-2.0
"""What a `with` block does at its end with a channel or a flow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Optional

from .errors import EngineError


class Closing(ABC):
    """close() at the end of the block; its own error counts only where nothing else went wrong."""

    @abstractmethod
    def close(self) -> None:
        """End it, once or more often."""

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        try:
            self.close()
        except EngineError:
            if error is None:
                raise

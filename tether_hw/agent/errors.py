# SPDX-License-Identifier: Apache-2.0
"""What the agent says no with.

AgentError            code "failed": something broke on this host
+-- Refused           code "refused": the request must not be carried out, nothing was changed
|   +-- FactsDiffer   code "facts-differ": the plan was made from other facts
|   +-- NotFresh      code "not-fresh": a confirm from a session that is older than the last step
|   +-- NotAdmitted   code "not-admitted": no operator signed it, or not for this host, or not now
+-- Locked            code "locked": another run is pending on this host
+-- Decided           code "decided": confirm or revert was asked, the other one won
"""

from __future__ import annotations

from typing import Any


class AgentError(Exception):
    """An answer that is not the asked one; travels as {"code", "message", "detail"}."""

    code = "failed"

    def __init__(self, message: str, **detail: Any) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail

    def document(self) -> dict[str, Any]:
        return {"code": self.code, "message": self.message, "detail": self.detail}


class Refused(AgentError):
    code = "refused"


class FactsDiffer(Refused):
    code = "facts-differ"


class NotFresh(Refused):
    code = "not-fresh"


class NotAdmitted(Refused):
    code = "not-admitted"


class Locked(AgentError):
    code = "locked"


class Decided(AgentError):
    code = "decided"

"""Why a WebSocket connection ended."""

from typing import NamedTuple


class CloseInfo(NamedTuple):
    """A close code (1006 without a close frame) and a reason."""

    code: int
    reason: str

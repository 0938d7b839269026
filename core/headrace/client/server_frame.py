"""The frames that the server sends on a `headrace.v1` WebSocket."""

from typing import Annotated

import msgspec

_DAY_S = 86_400


class ServerFrame(msgspec.Struct):
    """A frame; without a `type` it is a message."""

    id: str | None = None
    data: str = ""
    group: str | None = None
    type: str | None = None
    recovered: bool | None = None
    ping_interval: Annotated[float, msgspec.Meta(ge=0, le=_DAY_S)] | None = None
    delay_ms: Annotated[float, msgspec.Meta(ge=0, le=_DAY_S * 1000)] = 0


decode_frame = msgspec.json.Decoder(ServerFrame).decode

"""The frames that the server sends on a `headrace.v1` WebSocket."""

import msgspec


class ServerFrame(msgspec.Struct):
    """A frame; without a `type` it is a message."""

    id: str | None = None
    data: str = ""
    group: str | None = None
    type: str | None = None
    recovered: bool | None = None
    ping_interval: float | None = None
    delay_ms: float = 0


decode_frame = msgspec.json.Decoder(ServerFrame).decode

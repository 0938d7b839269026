"""headrace.frames against wsproto's serialiser: the server's, and the client's that reads them."""

import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage

from headrace import codes, frames, limits


def serialized(event: Event) -> bytes:
    return bytes(Connection(ConnectionType.SERVER).send(event))


def received(data: bytes) -> list[Event]:
    """What wsproto's client makes of it, whole and byte by byte; no fault among it."""
    whole = Connection(ConnectionType.CLIENT)
    whole.receive_data(data)
    events = list(whole.events())
    pieces = Connection(ConnectionType.CLIENT)
    for byte in data:
        pieces.receive_data(bytes([byte]))
    assert len([event for event in pieces.events() if isinstance(event, CloseConnection)]) == len(
        [event for event in events if isinstance(event, CloseConnection)]
    )
    assert whole.state is pieces.state
    return events


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
def test_text_frames_are_what_wsproto_gives(size: int) -> None:
    text = "x" * size
    assert frames.frame(frames.TEXT, text.encode()) == serialized(TextMessage(data=text))


@pytest.mark.parametrize("size", [0, 1, 125])
def test_control_frames_are_what_wsproto_gives(size: int) -> None:
    payload = b"x" * size
    assert frames.frame(frames.PING, payload) == serialized(Ping(payload=payload))
    assert frames.frame(frames.PONG, payload) == serialized(Pong(payload=payload))


def test_a_frame_is_not_a_binary_one() -> None:
    assert frames.frame(frames.TEXT, b"x") != serialized(BytesMessage(data=b"x"))


def test_a_compressed_frame_differs_in_its_reserved_bit() -> None:
    """RFC 7692 section 6."""
    plain, compressed = (frames.frame(frames.TEXT, b"x", compressed=flag) for flag in (False, True))
    assert compressed == bytes([plain[0] | 0x40]) + plain[1:]


@pytest.mark.parametrize("code", codes.REASONS)
def test_close_frames_are_what_wsproto_gives(code: int) -> None:
    reason = codes.REASONS[code]
    assert len(reason.encode()) <= limits.CLOSE_REASON_MAX_BYTES
    frame = frames.close_frame(code, reason)
    assert frame == serialized(CloseConnection(code=code, reason=reason))
    assert received(frame) == [CloseConnection(code=code, reason=reason)]


def test_a_close_frame_without_a_reason() -> None:
    assert frames.close_frame(1000) == serialized(CloseConnection(code=1000))


@pytest.mark.parametrize("letter", ["x", "\xe9", "\u20ac", "\U0001f600"])
@pytest.mark.parametrize("shift", range(4))
def test_a_long_reason_is_cut_at_a_character_edge(letter: str, shift: int) -> None:
    reason = "x" * shift + letter * 124
    frame = frames.close_frame(1000, reason)
    assert frame == serialized(CloseConnection(code=1000, reason=reason))
    size = len(letter.encode())
    assert limits.CONTROL_FRAME_MAX_BYTES - size < len(frame) - 2 <= limits.CONTROL_FRAME_MAX_BYTES
    kept = (limits.CLOSE_REASON_MAX_BYTES - shift) // size
    assert received(frame) == [CloseConnection(code=1000, reason="x" * shift + letter * kept)]

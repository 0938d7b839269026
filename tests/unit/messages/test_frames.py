"""messages/frames.py and the frames of messages, compared with wsproto as server and as client."""

import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage

from headrace import codes
from headrace.messages import frames
from headrace.messages.message import Encoding, Message
from headrace.messages.position import START


def serialized(event: Event) -> bytes:
    return bytes(Connection(ConnectionType.SERVER).send(event))


def received(data: bytes) -> list[Event]:
    """Return the events of wsproto's client, which must be the same whole and byte by byte."""
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
def test_text_frames_equal_those_of_wsproto(size: int) -> None:
    """The sizes are the ends of the three length classes of RFC 6455 section 5.2."""
    text = "x" * size
    expected = serialized(TextMessage(data=text))
    assert frames.frame(frames.TEXT, text.encode()) == expected
    assert Message(START, text).encode(Encoding.BARE) == expected


@pytest.mark.parametrize("size", [35, 125, 126, 65535, 65536])
def test_frames_of_messages_with_an_envelope_equal_those_of_wsproto(size: int) -> None:
    message = Message(START, "x" * (size - len('{"id":"0-0","data":""}')))
    text = message.encode(Encoding.POLL).decode()
    assert len(text) == size
    assert message.encode(Encoding.V1) == serialized(TextMessage(data=text))


@pytest.mark.parametrize("size", [0, 1, 125])
def test_control_frames_equal_those_of_wsproto(size: int) -> None:
    payload = b"x" * size
    assert frames.frame(frames.PING, payload) == serialized(Ping(payload=payload))
    assert frames.frame(frames.PONG, payload) == serialized(Pong(payload=payload))


def test_a_text_frame_differs_from_a_binary_one() -> None:
    assert frames.frame(frames.TEXT, b"x") != serialized(BytesMessage(data=b"x"))


def test_a_compressed_frame_has_rsv1_set() -> None:
    """RFC 7692 section 6."""
    plain, compressed = (frames.frame(frames.TEXT, b"x", compressed=flag) for flag in (False, True))
    assert compressed == bytes([plain[0] | 0x40]) + plain[1:]


@pytest.mark.parametrize("code", codes.REASONS)
def test_close_frames_equal_those_of_wsproto(code: int) -> None:
    reason = codes.REASONS[code]
    assert len(reason.encode()) <= frames.CLOSE_REASON_MAX_BYTES
    frame = frames.close_frame(code, reason)
    assert frame == serialized(CloseConnection(code=code, reason=reason))
    assert received(frame) == [CloseConnection(code=code, reason=reason)]


def test_a_close_frame_without_a_reason() -> None:
    assert frames.close_frame(1000) == serialized(CloseConnection(code=1000))


@pytest.mark.parametrize("letter", ["x", "\xe9", "\u20ac", "\U0001f600"])
@pytest.mark.parametrize("shift", range(4))
def test_a_long_reason_is_cut_between_two_characters(letter: str, shift: int) -> None:
    reason = "x" * shift + letter * 124
    frame = frames.close_frame(1000, reason)
    assert frame == serialized(CloseConnection(code=1000, reason=reason))
    size = len(letter.encode())
    assert 125 - size < len(frame) - 2 <= 125
    kept = (frames.CLOSE_REASON_MAX_BYTES - shift) // size
    assert received(frame) == [CloseConnection(code=1000, reason="x" * shift + letter * kept)]

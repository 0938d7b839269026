"""headrace.protocol.websocket.frame_reader, with wsproto's client as the other side."""

import contextlib
import sys
from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.helpers.client_bytes import (
    BINARY,
    CONTINUATION,
    MASKING_KEY,
    byte_by_byte,
    client_frame,
    cut_at,
)
from wsproto import events as peer
from wsproto.connection import Connection, ConnectionType

from headrace.errors import FrameError
from headrace.messages import frames
from headrace.protocol.http import HttpConnection
from headrace.protocol.websocket import frame_reader
from headrace.protocol.websocket.frame_reader import (
    Close,
    FrameReader,
    Ping,
    Pong,
    Text,
    WebSocketEvent,
)

EMPTY_PONG = bytes([0x8A, 0x80]) + MASKING_KEY


def read_chunks(
    chunks: Sequence[bytes], *, deflate: bool = False, max_bytes: int = 1000
) -> list[object]:
    """Return the events, then the close code and reason of the fault, if any."""
    reader = FrameReader(deflate=deflate, max_bytes=max_bytes)
    seen: list[object] = []
    for chunk in chunks:
        try:
            seen += reader.receive_data(chunk)
        except FrameError as error:
            seen += reader.events_before_fault
            seen.append((error.close_code, error.reason))
    return seen


def read(data: bytes, *, deflate: bool = False, max_bytes: int = 1000) -> list[object]:
    whole = read_chunks([data], deflate=deflate, max_bytes=max_bytes)
    pieces = byte_by_byte(data)
    assert read_chunks(pieces, deflate=deflate, max_bytes=max_bytes) == whole
    followed = read_chunks([data + EMPTY_PONG], deflate=deflate, max_bytes=max_bytes)
    ended = bool(whole) and isinstance(whole[-1], Close | tuple)
    assert followed == (whole if ended else [*whole, Pong(b"")])
    return whole


def fault(data: bytes, *, deflate: bool = False, max_bytes: int = 1000) -> tuple[int, str]:
    """Return the close code and the reason of the fault; there must be no event."""
    (only,) = read(data, deflate=deflate, max_bytes=max_bytes)
    assert isinstance(only, tuple), only
    assert len(only[1].encode()) <= frames.CLOSE_REASON_MAX_BYTES
    return only


# --- messages ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 125, 126, 127, 65535, 65536])
def test_text(size: int) -> None:
    text = "\u20ac" * (size // 3) + "x" * (size % 3)
    assert len(text.encode()) == size
    data = client_frame(frames.TEXT, text.encode())
    assert read_chunks([data], max_bytes=65536) == [Text(text)]
    assert read_chunks([data[:-1], data[-1:] + EMPTY_PONG], max_bytes=65536)[0] == Text(text)
    if size < 1000:
        assert read(data) == [Text(text)]


@pytest.mark.parametrize(
    "sent",
    [
        [peer.TextMessage("a")],
        [peer.TextMessage("a", message_finished=False), peer.TextMessage("\xe9")],
        [peer.Ping(b"p"), peer.Pong(b""), peer.TextMessage("")],
        [peer.TextMessage("a", message_finished=False), peer.Ping(b"p"), peer.TextMessage("b")],
        [peer.CloseConnection(code=1000, reason="caf\xe9")],
        [peer.TextMessage("x" * 300), peer.CloseConnection(code=4999)],
    ],
)
def test_frames_sent_by_wsproto(sent: list[peer.Event]) -> None:
    client = Connection(ConnectionType.CLIENT)
    data = b"".join(bytes(client.send(event)) for event in sent)
    expected: list[WebSocketEvent] = []
    text = ""
    for event in sent:
        if isinstance(event, peer.TextMessage):
            text += event.data
            if event.message_finished:
                expected.append(Text(text))
                text = ""
        elif isinstance(event, peer.Ping):
            expected.append(Ping(bytes(event.payload)))
        elif isinstance(event, peer.Pong):
            expected.append(Pong(bytes(event.payload)))
        elif isinstance(event, peer.CloseConnection):
            expected.append(Close(event.code, event.reason or ""))
    assert read(data) == expected


def test_a_character_in_two_fragments() -> None:
    euro = "\u20ac".encode()
    data = client_frame(frames.TEXT, euro[:1], fin=False) + client_frame(CONTINUATION, euro[1:])
    assert read(data) == [Text("\u20ac")]


def test_empty_fragments() -> None:
    data = client_frame(frames.TEXT, fin=False) + client_frame(CONTINUATION, fin=False) * 3
    assert read(data + client_frame(CONTINUATION)) == [Text("")]


def test_an_empty_close() -> None:
    """RFC 6455 section 7.1.5."""
    assert read(client_frame(frames.CLOSE)) == [Close(1005, "")]


def test_bytes_after_a_close_are_ignored() -> None:
    close = client_frame(frames.CLOSE, b"\x03\xe8bye")
    assert read(close + client_frame(frames.TEXT, b"x") + b"\xff\xff") == [Close(1000, "bye")]


def test_a_frame_in_the_segment_of_the_handshake() -> None:
    """It stays in the HTTP connection as `trailing_data`."""
    connection = HttpConnection()
    frame = client_frame(frames.TEXT, b"hi")
    connection.receive_data(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" + frame[:3])
    assert connection.next_event()
    connection.upgrade([])
    assert read_chunks([connection.trailing_data, frame[3:]]) == [Text("hi")]


# --- faults --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        frames.frame(frames.TEXT, b"unmasked"),
        frames.frame(frames.PING, b""),
        *(client_frame(frames.TEXT, b"x", rsv=rsv) for rsv in range(1, 8)),
        *(client_frame(opcode, b"x") for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
        *(client_frame(opcode, fin=False) for opcode in (frames.CLOSE, frames.PING, frames.PONG)),
        client_frame(frames.PING, b"x" * 126),
        client_frame(frames.CLOSE, b"\x03\xe8" + b"x" * 124),
        client_frame(CONTINUATION, b"x"),
        client_frame(CONTINUATION, b"x", fin=False),
        client_frame(frames.TEXT, fin=False) + client_frame(frames.TEXT),
        client_frame(frames.TEXT, fin=False) + client_frame(BINARY),
        b"\x81\xfe\x00\x7d" + MASKING_KEY,  # a length in more bytes than necessary
        b"\x81\xff\x00\x00\x00\x00\x00\x00\xff\xff" + MASKING_KEY,
        b"\x81\xff\x80\x00\x00\x00\x00\x00\x00\x00" + MASKING_KEY,
    ],
)
def test_1002_protocol_violations(data: bytes) -> None:
    assert fault(data)[0] == 1002


@pytest.mark.parametrize(
    "code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]
)
def test_1002_close_codes_that_must_not_be_sent(code: int) -> None:
    assert fault(client_frame(frames.CLOSE, code.to_bytes(2, "big")))[0] == 1002


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1012, 3000, 3999, 4000, 4999])
def test_close_codes(code: int) -> None:
    assert read(client_frame(frames.CLOSE, code.to_bytes(2, "big"))) == [Close(code, "")]


def test_1002_a_close_of_one_byte() -> None:
    assert fault(client_frame(frames.CLOSE, b"\x03"))[0] == 1002


def test_1003_a_binary_message_before_its_payload() -> None:
    assert fault(client_frame(BINARY, b"x")) == (1003, "a binary message; send text")
    assert fault(client_frame(BINARY, size=500)[:8])[0] == 1003


@pytest.mark.parametrize(
    "data",
    [
        client_frame(frames.TEXT, b"\xff"),
        client_frame(frames.TEXT, b"a" * 200 + b"\xff"),
        client_frame(frames.TEXT, "\u20ac".encode()[:2]),
        client_frame(frames.TEXT, b"\xed\xa0\x80"),  # a surrogate
        client_frame(frames.TEXT, b"\xc0\x80"),  # a NUL in two bytes
        client_frame(frames.TEXT, b"\xc3", fin=False) + client_frame(CONTINUATION, b"("),
        client_frame(frames.TEXT, b"\xc3", fin=False) + client_frame(CONTINUATION),
        client_frame(frames.CLOSE, b"\x03\xe8\xff"),
    ],
)
def test_1007_not_utf_8(data: bytes) -> None:
    assert fault(data) == (1007, "invalid UTF-8")


def test_1007_before_the_message_is_complete() -> None:
    assert fault(client_frame(frames.TEXT, b"\xff", size=500)) == (1007, "invalid UTF-8")


def test_events_before_a_fault_are_kept() -> None:
    start = client_frame(frames.TEXT, b"a") + client_frame(frames.PING, b"b")
    assert read(start + client_frame(BINARY)) == [
        *(Text("a"), Ping(b"b")),
        (1003, "a binary message; send text"),
    ]


def test_a_fault_is_raised_once() -> None:
    reader = FrameReader()
    with pytest.raises(FrameError):
        reader.receive_data(client_frame(BINARY))
    assert reader.receive_data(client_frame(frames.TEXT, b"a")) == []


# --- an idle reader ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        client_frame(frames.TEXT, b"hello"),
        client_frame(frames.PING, b"hello"),
        client_frame(frames.TEXT, b"x" * 500),
        client_frame(frames.TEXT, b"x" * 70_000),
        client_frame(frames.TEXT, b"hello", fin=False) + client_frame(CONTINUATION),
    ],
)
def test_a_decoder_exists_only_inside_a_frame_or_a_message(data: bytes) -> None:
    reader = FrameReader()
    small = client_frame(frames.TEXT, b"hello")
    decoders = {reader._decoder is None}
    for cut in {*range(1, 20), len(data) - 1} & set(range(1, len(data))):
        reader.receive_data(data[:cut])
        decoders.add(reader._decoder is not None)
        reader.receive_data(data[cut:])
        decoders.add(reader._decoder is None)
        reader.receive_data(small + data + small)
        decoders.add(reader._decoder is None)
    assert decoders == {True}


def test_no_decoder_is_kept_after_the_end() -> None:
    for end in (frames.CLOSE, BINARY):
        reader = FrameReader()
        reader.receive_data(client_frame(frames.TEXT, fin=False))
        decoders = [reader._decoder]
        with contextlib.suppress(FrameError):
            reader.receive_data(client_frame(end))
        assert None not in decoders
        assert reader._decoder is None


def test_an_idle_reader_is_small() -> None:
    assert sys.getsizeof(FrameReader()) <= 72


# --- any bytes, cut anywhere ---------------------------------------------------------------------

PAYLOADS = st.one_of(
    st.binary(max_size=20),
    st.text(max_size=20).map(str.encode),
    st.integers(100, 140).map(lambda size: b"x" * size),
    st.sampled_from([b"\x03\xe8", b"\x03\xe8bye", b"\x03\xed"]),
)
FRAMES = st.builds(
    client_frame,
    st.sampled_from([frames.TEXT] * 6 + [CONTINUATION] * 3 + [8, 9, 9, 10, 10, BINARY, 3]),
    PAYLOADS,
    fin=st.sampled_from([True, True, True, False]),
    rsv=st.sampled_from([0] * 12 + [4, 1]),
)
BYTES = st.lists(FRAMES | st.binary(max_size=3), max_size=6).map(b"".join)


@st.composite
def mutated_frames(draw: st.DrawFn) -> bytes:
    """Frames in which one byte was replaced."""
    data = bytearray(draw(st.lists(FRAMES, min_size=1, max_size=4).map(b"".join)))
    data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data)


@given(BYTES | mutated_frames(), st.lists(st.integers(0, 300), max_size=6), st.booleans())
@example(client_frame(frames.TEXT, b"hello") * 2, [5, 8], False)
@settings(deadline=None, max_examples=300)
def test_any_bytes_cut_anywhere_give_the_same_result(
    data: bytes, cuts: list[int], deflate: bool
) -> None:
    """FrameError is the only exception."""
    chunks = cut_at(data, cuts)
    whole = read_chunks([data], deflate=deflate, max_bytes=130)
    assert read_chunks(chunks, deflate=deflate, max_bytes=130) == whole


@given(BYTES | mutated_frames())
@settings(deadline=None, max_examples=300)
def test_small_frames_are_read_as_wsproto_reads_them(data: bytes) -> None:
    events: list[WebSocketEvent] = []
    taken = frame_reader._read_small_frames(data, 125, events)
    expected: list[WebSocketEvent] = []
    decoder = frame_reader._Decoder(deflate=False, max_bytes=125)
    assert decoder.decode(data[:taken], expected) is None
    assert decoder.between_messages
    assert events == expected

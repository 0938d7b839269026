"""headrace.protocol.websocket.frame_guard, through FrameReader: limits, and inflation."""

import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers.client_bytes import (
    CONTINUATION,
    MASKING_KEY,
    RSV1,
    byte_by_byte,
    client_frame,
    cut_at,
)
from wsproto import events as peer
from wsproto.connection import Connection, ConnectionType
from wsproto.extensions import PerMessageDeflate

from headrace import limits
from headrace.errors import FrameError
from headrace.messages import frames
from headrace.protocol.websocket.frame_guard import EMPTY_FRAGMENTS_MAX_COUNT
from headrace.protocol.websocket.frame_reader import FrameReader, Ping, Text

EMPTY_PING = bytes([0x89, 0x80]) + MASKING_KEY


def deflated(text: bytes, level: int = -1) -> bytes:
    """Return the payload of a compressed message (RFC 7692 section 7.2.1)."""
    deflater = zlib.compressobj(level, wbits=-15)
    data = deflater.compress(text) + deflater.flush(zlib.Z_SYNC_FLUSH)
    assert data.endswith(b"\x00\x00\xff\xff")
    return data[:-4]


def read_chunks(chunks: list[bytes], *, deflate: bool, max_bytes: int) -> list[object]:
    """Return the events, then the close code and reason of the fault, if any."""
    reader = FrameReader(deflate=deflate, max_bytes=max_bytes)
    seen: list[object] = []
    for chunk in chunks:
        try:
            seen += reader.receive_data(chunk)
        except FrameError as error:
            seen += [*reader.events_before_fault, (error.close_code, error.reason)]
    return seen


def read(data: bytes, *, deflate: bool = False, max_bytes: int = 1000) -> list[object]:
    whole = read_chunks([data], deflate=deflate, max_bytes=max_bytes)
    pieces = byte_by_byte(data)
    assert read_chunks(pieces, deflate=deflate, max_bytes=max_bytes) == whole
    followed = read_chunks([data + EMPTY_PING], deflate=deflate, max_bytes=max_bytes)
    assert followed == (whole if isinstance(whole[-1], tuple) else [*whole, Ping(b"")])
    return whole


def fault(data: bytes, *, deflate: bool = False, max_bytes: int = 1000) -> tuple[int, str]:
    """Return the close code and the reason of the fault; there must be no event."""
    (only,) = read(data, deflate=deflate, max_bytes=max_bytes)
    assert isinstance(only, tuple), only
    return only


# --- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [10, 125, 126, 1000])
def test_the_longest_message(limit: int) -> None:
    """wsproto has no limit."""
    assert read(client_frame(frames.TEXT, b"x" * limit), max_bytes=limit) == [Text("x" * limit)]
    code, reason = fault(client_frame(frames.TEXT, b"x" * (limit + 1)), max_bytes=limit)
    assert (code, reason) == (1009, f"the message is over {limit} bytes; send less")
    start = client_frame(frames.TEXT, b"x" * (limit - 1), fin=False)
    assert read(start + client_frame(CONTINUATION, b"x"), max_bytes=limit) == [Text("x" * limit)]
    assert fault(start + client_frame(CONTINUATION, b"xx"), max_bytes=limit)[0] == 1009


def test_a_control_frame_is_not_part_of_the_message() -> None:
    ping = client_frame(frames.PING, b"p" * 125)
    start = client_frame(frames.TEXT, b"x" * 5, fin=False)
    assert read(start + ping + client_frame(CONTINUATION, b"y" * 5) + ping, max_bytes=10) == [
        *(Ping(b"p" * 125), Text("xxxxxyyyyy"), Ping(b"p" * 125))
    ]


@pytest.mark.parametrize("size", [1001, 70_000, 2**62])
def test_1009_from_the_header_alone(size: int) -> None:
    head = client_frame(frames.TEXT, size=size)[:-4]
    assert fault(head)[0] == 1009


# --- compression ---------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "a", "caf\xe9 " * 100])
@pytest.mark.parametrize("level", [0, 1, 9])
def test_a_compressed_message(text: str, level: int) -> None:
    data = client_frame(frames.TEXT, deflated(text.encode(), level), rsv=RSV1)
    assert read(data, deflate=True) == [Text(text)]
    assert read(data * 2, deflate=True) == [Text(text), Text(text)]


def test_messages_compressed_by_wsproto() -> None:
    """wsproto keeps its context unless no_context_takeover was agreed, as it always is here."""
    agreed = PerMessageDeflate(client_no_context_takeover=True)
    agreed.finalize("permessage-deflate; client_no_context_takeover")
    client = Connection(ConnectionType.CLIENT, extensions=[agreed])
    data = b"".join(
        bytes(client.send(event))
        for event in (
            peer.TextMessage("hello"),
            peer.TextMessage("hello", message_finished=False),
            peer.TextMessage(" hello"),
            peer.Ping(b"p"),
        )
    )
    assert read(data, deflate=True) == [Text("hello"), Text("hello hello"), Ping(b"p")]


def test_uncompressed_messages_after_compression_was_agreed() -> None:
    """RFC 7692 section 6: the sender chooses for each message."""
    start, end = client_frame(frames.TEXT, b"a", fin=False), client_frame(CONTINUATION, b"b")
    compressed = client_frame(frames.TEXT, deflated(b"c"), rsv=RSV1)
    plain = client_frame(frames.TEXT, b"d" * 200)
    assert read(compressed + start + end + compressed + plain, deflate=True) == [
        *(Text("c"), Text("ab"), Text("c"), Text("d" * 200))
    ]


@pytest.mark.parametrize("cut", range(6))
def test_a_ping_between_compressed_fragments(cut: int) -> None:
    """wsproto's own permessage-deflate loses the message."""
    payload = deflated(b"hello")
    data = client_frame(frames.TEXT, payload[:cut], fin=False, rsv=RSV1)
    data += client_frame(frames.PING, b"p") + client_frame(CONTINUATION, payload[cut:])
    assert read(data, deflate=True) == [Ping(b"p"), Text("hello")]

    own = PerMessageDeflate()
    own.finalize("permessage-deflate")
    server = Connection(ConnectionType.SERVER, extensions=[own])
    server.receive_data(data)
    texts = [event.data for event in server.events() if isinstance(event, peer.TextMessage)]
    assert "".join(texts) != "hello"


def test_the_message_of_rfc_7692_with_a_final_block() -> None:
    """Section 7.2.3.4."""
    final = b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00"
    assert read(client_frame(frames.TEXT, final, rsv=RSV1), deflate=True) == [Text("Hello")]
    assert read(client_frame(frames.TEXT, final[:-1], rsv=RSV1), deflate=True) == [Text("Hello")]
    followed = client_frame(frames.TEXT, final + b"x", rsv=RSV1)
    assert fault(followed, deflate=True) == (1007, "invalid compressed data")


def test_1007_not_inflatable() -> None:
    data = client_frame(frames.TEXT, b"\xff\xff\xff", rsv=RSV1)
    assert fault(data, deflate=True) == (1007, "invalid compressed data")


def test_1007_inflated_but_not_utf_8() -> None:
    data = client_frame(frames.TEXT, deflated(b"\xff"), rsv=RSV1)
    assert fault(data, deflate=True) == (1007, "invalid UTF-8")


def test_1002_a_compressed_message_without_agreement() -> None:
    assert fault(client_frame(frames.TEXT, deflated(b"a"), rsv=RSV1))[0] == 1002


def test_1002_the_compression_bit_in_other_frames() -> None:
    """RFC 7692 section 6.1: it is allowed only in the first frame of a message."""
    assert fault(client_frame(frames.PING, rsv=RSV1), deflate=True)[0] == 1002
    start = client_frame(frames.TEXT, b"", fin=False, rsv=RSV1)
    assert fault(start + client_frame(CONTINUATION, rsv=RSV1), deflate=True)[0] == 1002


def test_the_longest_compressed_message() -> None:
    for size, expected in ((1000, [Text("x" * 1000)]), (1001, [1009])):
        data = client_frame(frames.TEXT, deflated(b"x" * size), rsv=RSV1)
        (only,) = read(data, deflate=True)
        assert [only[0] if isinstance(only, tuple) else only] == expected


def test_1009_a_compressed_message_over_the_limit_before_inflating() -> None:
    """It is within the limit when inflated; level 0 makes it longer."""
    payload = deflated(b"x" * 1000, level=0)
    assert len(payload) > 1000
    assert fault(client_frame(frames.TEXT, payload, rsv=RSV1), deflate=True)[0] == 1009


def test_97_kb_are_not_inflated_to_100_mb() -> None:
    """wsproto's permessage-deflate would make one event of it."""
    bomb = client_frame(frames.TEXT, deflated(bytes(100_000_000), level=9), rsv=RSV1)
    assert len(bomb) < 100_000
    reader = FrameReader(deflate=True)
    tracemalloc.start()
    try:
        with pytest.raises(FrameError) as caught:
            reader.receive_data(bomb)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.close_code == 1009
    assert peak_bytes < 5 * limits.CLIENT_FRAME_MAX_BYTES


@given(
    st.lists(st.tuples(st.text(max_size=50), st.booleans(), st.integers(0, 60)), max_size=4),
    st.lists(st.integers(0, 300), max_size=6),
)
@settings(deadline=None)
def test_any_fragments_cut_anywhere_give_the_messages(
    messages: list[tuple[str, bool, int]], cuts: list[int]
) -> None:
    data = b""
    for text, compressed, cut in messages:
        payload = deflated(text.encode()) if compressed else text.encode()
        data += client_frame(frames.TEXT, payload[:cut], fin=False, rsv=RSV1 * compressed)
        data += client_frame(CONTINUATION, payload[cut:])
    chunks = cut_at(data, cuts)
    assert read_chunks(chunks, deflate=True, max_bytes=1000) == [
        Text(text) for text, *_ in messages
    ]


# --- empty fragments, reserved bits ----------------------------------------------------------


def test_1002_over_16_empty_fragments_in_a_message() -> None:
    first, last = client_frame(frames.TEXT, b"", fin=False), client_frame(CONTINUATION, b"x")
    empty = client_frame(CONTINUATION, b"", fin=False)
    limit = EMPTY_FRAGMENTS_MAX_COUNT
    text = Text("x")
    assert read((first + empty * (limit - 1) + last) * 2) == [text, text]  # counted per message
    expected = (1002, "over 16 empty fragments; leave them out")
    assert fault(first + empty * limit) == expected


@pytest.mark.parametrize("bit", [0x40, 0x20, 0x10])
@pytest.mark.parametrize("opcode", [1, 2])
def test_1002_for_reserved_bits_before_1003_for_a_binary_message(opcode: int, bit: int) -> None:
    data = bytes([0x80 | bit | opcode, 0x81]) + MASKING_KEY + b"x"
    assert fault(data)[0] == 1002

"""`FrameReader`, with and without deflate, and `websockets` as the second implementation.

The first byte of an input chooses the reader's arguments; the other bytes are the client's.
"""

import contextlib
import zlib
from collections.abc import Sequence
from typing import Final

from hypothesis import strategies as st
from tests.hardening.fuzz.target import Target, check_chunkings, kept_bytes
from tests.helpers.client_bytes import BINARY, CONTINUATION, RSV1, client_frame
from websockets import frames as peer_frames
from websockets.exceptions import ProtocolError
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.protocol import Protocol, Side

from headrace.errors import FrameError
from headrace.messages import frames
from headrace.protocol.websocket import Close, FrameReader, Ping, Pong, Text

MAX_BYTES: Final = (130, 130, 1000, 70_000)

_KEPT_MAX_BYTES = 16 * 1024  # of the decoder, beyond the message itself
_PEER_MAX_BYTES = 8 * 1024 * 1024
_KEPT_PER_BYTE = 5  # of the message: text of 4 bytes per character, and the compressed bytes


def check(data: bytes) -> None:
    options, data = (data[0], data[1:]) if data else (0, b"")
    deflate, max_bytes = bool(options & 1), MAX_BYTES[options >> 1 & 3]

    def read(chunks: Sequence[bytes]) -> tuple[list[object], bool]:
        reader = FrameReader(deflate=deflate, max_bytes=max_bytes)
        found: list[object] = []
        for chunk in chunks:
            try:
                found += reader.receive_data(chunk)
            except FrameError as error:
                check_fault(error)
                found += reader.events_before_fault
                found.append(error.close_code)
                reader.events_before_fault = ()
        kept = kept_bytes(reader)
        assert kept <= _KEPT_MAX_BYTES + _KEPT_PER_BYTE * max_bytes, (
            f"the reader keeps {kept} bytes"
        )
        return found, reader._decoder is None

    events, is_complete = check_chunkings(data, read)
    for event in events:
        if isinstance(event, Text):
            assert len(event.data.encode()) <= max_bytes
    found, peer_fault = read_by_peer(data, deflate=deflate)
    check_peer(events, found, peer_fault, is_complete=is_complete, deflate=deflate)


def check_fault(error: FrameError) -> None:
    """Check that the fault can be sent in a close frame."""
    assert error.close_code in (1002, 1003, 1007, 1009)
    assert 0 < len(error.reason.encode()) <= frames.CLOSE_REASON_MAX_BYTES


def check_peer(
    events: list[object],
    found: list[object],
    peer_fault: Exception | None,
    *,
    is_complete: bool,
    deflate: bool,
) -> None:
    """Check that `websockets` read the same messages, and no fault where we read none.

    It reports some faults earlier: a missing mask before the length is complete, and invalid
    compressed data before the message is. It refuses a close inside a fragmented message, which
    RFC 6455 section 5.4 allows. Other faults it does not report: it decodes no texts.
    """
    fault = events[-1] if events and isinstance(events[-1], int) else None
    expected = events[:-1] if fault is not None else events
    closed = bool(expected) and isinstance(expected[-1], Close)
    if peer_fault is not None and (deflate or closed):
        expected = expected[: len(found)]
    assert found[: len(expected)] == expected, (found, expected)
    if fault is None:
        assert found == expected, (found, expected)
        if is_complete and not closed:
            assert peer_fault is None, peer_fault


def read_by_peer(data: bytes, *, deflate: bool) -> tuple[list[object], Exception | None]:
    """Return the events that `websockets` reads, and its fault.

    It has no limit of ours: it would count a ping inside a message towards the message.
    """
    peer = Protocol(Side.SERVER, max_size=_PEER_MAX_BYTES)
    if deflate:
        peer.extensions = [PerMessageDeflate(True, True, 15, 15)]
    if data:
        peer.receive_data(data)
    found: list[object] = []
    message: list[bytes] = []
    for frame in peer.events_received():
        assert isinstance(frame, peer_frames.Frame)
        payload = bytes(frame.data)
        if frame.opcode is peer_frames.Opcode.PING:
            found.append(Ping(payload))
        elif frame.opcode is peer_frames.Opcode.PONG:
            found.append(Pong(payload))
        elif frame.opcode is peer_frames.Opcode.CLOSE:
            with contextlib.suppress(ProtocolError, UnicodeDecodeError):
                close = peer_frames.Close.parse(payload)
                found.append(Close(close.code, close.reason))
        else:
            message.append(payload)
            if frame.fin:
                found.append(_text_of(b"".join(message)))
                message = []
    return found, peer.parser_exc


def _text_of(payload: bytes) -> object:
    try:
        return Text(payload.decode())
    except UnicodeDecodeError:
        return payload


# --- inputs --------------------------------------------------------------------------------------


def compressed(payload: bytes, *, final_block: bool) -> bytes:
    """Return a compressed message payload (RFC 7692 section 7.2.1)."""
    compressor = zlib.compressobj(wbits=-15)
    data = compressor.compress(payload)
    if final_block:
        return data + compressor.flush() + b"\0"
    return (data + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\x00\x00\xff\xff")


PAYLOADS = st.one_of(
    st.binary(max_size=20),
    st.text(max_size=20).map(str.encode),
    st.integers(100, 140).map(lambda size: b"x" * size),
    st.sampled_from(
        [b"\x03\xe8", b"\x03\xe8bye", b"\x03\xed", b"\x0f\xa0\xff", b"\xe2\x82", b"\xac"]
    ),
    st.builds(
        compressed, st.binary(max_size=200) | st.text().map(str.encode), final_block=st.booleans()
    ),
    st.just(compressed(b"x" * 5000, final_block=False)),
)
FRAMES = st.builds(
    client_frame,
    st.sampled_from([frames.TEXT] * 6 + [CONTINUATION] * 4 + [8, 9, 9, 10, BINARY, 3]),
    PAYLOADS,
    fin=st.sampled_from([True, True, True, False]),
    rsv=st.sampled_from([0] * 8 + [RSV1] * 4 + [1]),
)
OPTIONS = st.integers(0, 7).map(lambda number: bytes([number]))

TARGET = Target(
    "frames",
    check,
    st.tuples(OPTIONS, st.lists(FRAMES | st.binary(max_size=3), max_size=7).map(b"".join)).map(
        b"".join
    ),
    (
        *(client_frame(opcode, b"x", fin=fin) for opcode in (0, 1, 9, 10) for fin in (True, False)),
        client_frame(frames.CLOSE, b"\x03\xe8"),
        client_frame(frames.TEXT, compressed(b"hello", final_block=False), rsv=RSV1),
        client_frame(frames.TEXT, size=70_000),
    ),
)

"""What is sent to clients: a `Message`, encoded once per encoding.

Everything that a sink can write has one method, `encode(encoding) -> bytes`, which returns the same
object at every call, so that all clients share it. There are three kinds: a `Message`, a
`MessageBatch` of several messages in one write, and a `ControlMessage` about the connection.
"""

import sys
from collections.abc import Mapping
from enum import IntEnum
from struct import Struct
from typing import Protocol

import msgspec

from headrace.messages import frames
from headrace.messages.position import Position

_to_json = msgspec.json.Encoder().encode
_encode_into = msgspec.json.Encoder().encode_into
_scratch = bytearray()  # for encodings that are only measured

SAMPLE_CHARACTERS = 512
"""Data up to twice this length is encoded to measure it; of longer data only a sample is, of 341
to 512 characters."""

_SAMPLE_SEED = hash("sample")  # differs between processes


class Encoding(IntEnum):
    """How a client receives its messages."""

    V1 = 0
    """A WebSocket text frame with the JSON envelope of the `headrace.v1` subprotocol."""
    BARE = 1
    """A WebSocket text frame with the data alone."""
    SSE = 2
    """A Server-Sent Events chunk."""
    POLL = 3
    """The JSON envelope alone, for the list in a long poll's response."""


# Looked up once: attributes of an enum are slow, and `len(Encoding)` is a Python call.
_V1, _BARE, _SSE, _POLL = Encoding
_NONE_ENCODED: list[bytes | None] = [None] * len(Encoding)


class Encodable(Protocol):
    """What a sink receives."""

    def encode(self, encoding: Encoding) -> bytes:
        """Return the bytes to write in `encoding`: the same object at every call."""


class Message:
    """One message in the total order; immutable except for the cache of its encodings.

    `group` is the group it was sent to, if any; `size_bytes` the size of the data as UTF-8.
    """

    __slots__ = ("_encoded", "data", "group", "position", "size_bytes")

    def __init__(self, position: Position, data: str, group: str | None = None) -> None:
        self.position = position
        self.data = data
        self.group = group
        self.size_bytes = len(data) if data.isascii() else len(data.encode())
        self._encoded = _NONE_ENCODED[:]

    def __repr__(self) -> str:  # without the data, which must not get into a log
        return f"<Message {self.position} of {self.size_bytes} bytes>"

    def memory_bytes(self) -> int:
        """Return the estimated memory of the data and of one encoding.

        The JSON escapes of long data are estimated from every n-th character. The index of the
        first one depends on the time and on the process's hash seed, so that a sender cannot hide
        escapes from the estimate: for any data it is right on average.
        """
        data = self.data
        if len(data) <= 2 * SAMPLE_CHARACTERS:
            _encode_into(data, _scratch)
            return len(_scratch) + sys.getsizeof(data)  # with its UTF-8, which Python now caches
        step = len(data) // SAMPLE_CHARACTERS | 1  # odd, or it would fit the period of much data
        sample = data[(self.position.ms + _SAMPLE_SEED) % step :: step]
        _encode_into(sample, _scratch)
        sample_bytes = len(sample) if sample.isascii() else len(sample.encode())
        escapes_bytes = step * (len(_scratch) - 2 - sample_bytes)
        total_bytes = sys.getsizeof(data) + self.size_bytes + 2 + escapes_bytes
        if not data.isascii():  # encoding it caches its UTF-8
            total_bytes += self.size_bytes + 1
        return total_bytes

    def encode(self, encoding: Encoding) -> bytes:
        """Return the message in `encoding`; only the first call encodes it."""
        encoded = self._encoded[encoding]
        if encoded is None:
            encoded = self._encoded[encoding] = encode_message(self, encoding)
        return encoded


class MessageBatch:
    """Several messages for one write, joined once for all clients with the same backlog."""

    __slots__ = ("_encoded", "messages")

    def __init__(self, messages: tuple[Message, ...]) -> None:
        self.messages = messages
        self._encoded = _NONE_ENCODED[:]

    def encode(self, encoding: Encoding) -> bytes:
        """Return the encoded messages joined, separated by commas for `POLL`."""
        encoded = self._encoded[encoding]
        if encoded is None:
            separator = b"," if encoding is _POLL else b""
            encoded = separator.join([message.encode(encoding) for message in self.messages])
            self._encoded[encoding] = encoded
        return encoded


class ControlMessage:
    """A message about the connection: `open`, `ping`, `gap` or `reconnect`.

    `fields` is the JSON object to send, including its `"type"`. It is empty for `BARE`.
    """

    __slots__ = ("_encoded", "fields")

    def __init__(self, fields: Mapping[str, object]) -> None:
        self.fields = fields
        self._encoded = _NONE_ENCODED[:]

    def encode(self, encoding: Encoding) -> bytes:
        """Return the control message in `encoding`; only the first call encodes it."""
        encoded = self._encoded[encoding]
        if encoded is None:
            encoded = self._encoded[encoding] = _encode_control(self.fields, encoding)
        return encoded


_TEXT_FRAME = 0x80 | frames.TEXT  # with FIN
_HEADERS = [bytes((_TEXT_FRAME, size)) for size in range(126)]  # by the size of the payload
_pack_header_16 = Struct(">BBH").pack
_pack_header_64 = Struct(">BBQ").pack


def encode_message(message: Message, encoding: Encoding) -> bytes:
    """Return a message in `encoding`.

    This runs once for every message that anybody receives. It is one function, and builds the
    frame's header itself, because each Python call costs about as much as the JSON encoding.
    """
    if encoding is _SSE:
        event_id = "%d-%d" % message.position
        return f"id: {event_id}\n{event_stream_lines(message.data)}\n".encode()
    if encoding is _BARE:
        payload = message.data.encode()
    else:
        fields = {"id": "%d-%d" % message.position, "data": message.data}
        if message.group is not None:
            fields["group"] = message.group
        payload = _to_json(fields)
        if encoding is _POLL:
            return payload
    size = len(payload)
    if size < 126:
        return _HEADERS[size] + payload
    if size < 65536:
        return _pack_header_16(_TEXT_FRAME, 126, size) + payload
    return _pack_header_64(_TEXT_FRAME, 127, size) + payload


def event_stream_lines(data: str) -> str:
    """Return `data` as `data:` lines; CR, LF and CRLF all end a line in the event stream format.

    Source: WHATWG HTML, section 9.2.6.
    """
    lines = data.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "".join([f"data: {line}\n" for line in lines])


def _encode_control(fields: Mapping[str, object], encoding: Encoding) -> bytes:
    if encoding is _BARE:
        return b""
    body = _to_json(fields)
    if encoding is _V1:
        return frames.frame(frames.TEXT, body)
    if encoding is _SSE:
        return _encode_control_event(fields, body)
    return body


def _encode_control_event(fields: Mapping[str, object], body: bytes) -> bytes:
    if fields["type"] == "ping":
        return b": ping\n\n"  # a comment: browsers skip it, and proxies see activity
    event = b"event: headrace\ndata: " + body + b"\n\n"
    if fields["type"] == "open":  # so that a browser can resume before its first message
        return f"id: {fields['id']}\n".encode() + event
    return event

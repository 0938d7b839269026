"""What travels to the clients: a `Message`, encoded once per form.

Whatever is handed to a client has one method, `encoded(form) -> bytes`, that returns the same
object for every client. There are three such things: a `Message`, a `Run` of several messages
written as one, and a `Notice` about the connection itself.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Protocol

import msgspec

from headrace import frames
from headrace.position import Position

_to_json = msgspec.json.Encoder().encode


class Form(IntEnum):
    """How a client wants its messages; the value is the place in `Message`'s memory of forms."""

    V1 = 0
    """A WebSocket text frame with the JSON envelope of the `headrace.v1` subprotocol."""
    BARE = 1
    """A WebSocket text frame with the data alone."""
    SSE = 2
    """A Server-Sent Events chunk."""
    POLL = 3
    """The JSON envelope alone, for a long poll's list."""


class Encodable(Protocol):
    """What a sink is given."""

    def encoded(self, form: Form) -> bytes:
        """Return the bytes to write for `form`, the same object at every call."""


class Message:
    """One message in the total order; immutable but for its memory of encoded forms."""

    __slots__ = ("_forms", "data", "group", "position", "size_bytes")

    def __init__(self, position: Position, data: str, group: str | None = None) -> None:
        self.position = position
        self.data = data
        self.group = group
        self.size_bytes = len(data) if data.isascii() else len(data.encode())
        self._forms: list[bytes | None] = [None] * len(Form)

    def __repr__(self) -> str:  # the log never holds message data
        return f"<Message {self.position} of {self.size_bytes} bytes>"

    def encoded(self, form: Form) -> bytes:
        """Return the message in `form`; encoded at the first call only."""
        found = self._forms[form]
        if found is None:
            found = self._forms[form] = ENCODERS[form](self)
        return found


class Run:
    """Several messages that one write carries; joined once for all clients with the same run."""

    __slots__ = ("_forms", "messages")

    def __init__(self, messages: tuple[Message, ...]) -> None:
        self.messages = messages
        self._forms: list[bytes | None] = [None] * len(Form)

    def encoded(self, form: Form) -> bytes:
        """Return the messages' encodings one behind the other; with commas between for a poll."""
        found = self._forms[form]
        if found is None:
            separator = b"," if form is Form.POLL else b""
            found = self._forms[form] = separator.join([m.encoded(form) for m in self.messages])
        return found


class Notice:
    """Something about the connection: `open`, `ping`, `gap`, `reconnect`.

    `fields` is the JSON object of the contract, with its `"type"`. A bare client gets none.
    """

    __slots__ = ("_forms", "fields")

    def __init__(self, fields: Mapping[str, object]) -> None:
        self.fields = fields
        self._forms: list[bytes | None] = [None] * len(Form)

    def encoded(self, form: Form) -> bytes:
        """Return the notice in `form`, which is empty for `Form.BARE`."""
        found = self._forms[form]
        if found is None:
            found = self._forms[form] = _encode_notice(self.fields, form)
        return found


def envelope(message: Message) -> bytes:
    """Return the JSON envelope `{"id","data"}`, with `"group"` when it came through one."""
    fields = {"id": str(message.position), "data": message.data}
    if message.group is not None:
        fields["group"] = message.group
    return _to_json(fields)


def event_stream_lines(data: str) -> str:
    """Return `data` as `data:` lines; CR, LF and CRLF all end a line in the event stream format.

    Source: WHATWG HTML, section 9.2.6.
    """
    lines = data.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "".join([f"data: {line}\n" for line in lines])


def _encode_v1(message: Message) -> bytes:
    return frames.frame(frames.TEXT, envelope(message))


def _encode_bare(message: Message) -> bytes:
    return frames.frame(frames.TEXT, message.data.encode())


def _encode_sse(message: Message) -> bytes:
    return f"id: {message.position}\n{event_stream_lines(message.data)}\n".encode()


ENCODERS: Sequence[Callable[[Message], bytes]] = [_encode_v1, _encode_bare, _encode_sse, envelope]
"""By `Form`. A test counts the calls."""


def _encode_notice(fields: Mapping[str, object], form: Form) -> bytes:
    if form is Form.BARE:
        return b""
    body = _to_json(fields)
    if form is Form.V1:
        return frames.frame(frames.TEXT, body)
    if form is Form.SSE:
        return _encode_sse_notice(fields, body)
    return body


def _encode_sse_notice(fields: Mapping[str, object], body: bytes) -> bytes:
    if fields["type"] == "ping":
        return b": ping\n\n"  # a comment: browsers skip it, proxies see that the line is in use
    event = b"event: headrace\ndata: " + body + b"\n\n"
    if fields["type"] == "open":  # so that a browser resumes even if no message came
        return f"id: {fields['id']}\n".encode() + event
    return event

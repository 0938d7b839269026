"""A Headrace server whose WebSockets echo messages, as Autobahn|Testsuite expects of a peer.

The code that serves is the product's: HttpProtocol, the handshake, WebSocketProtocol, FrameReader
and wsproto. Four things are replaced for the test:

- EchoProtocol answers a text with the same text; the product ignores texts of a bare client.
- BinaryGuard and BinaryDecoder let binary messages pass, which the product refuses with 1003.
- `max_bytes` is 32 MiB, because Autobahn's largest message has 16 MiB.
- The memory that one client may make the server hold is as large.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Final
from unittest import mock

from tests.helpers.client_bytes import BINARY
from tests.helpers.site import Site, open_site
from wsproto.connection import Connection
from wsproto.events import BytesMessage, Event, TextMessage
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits

from headrace.messages import frames
from headrace.messages.message import Encoding
from headrace.protocol.websocket import frame_reader
from headrace.protocol.websocket.frame_guard import FrameGuard
from headrace.protocol.websocket.frame_reader import FrameReader
from headrace.server import memory_budget
from headrace.server.connections import upgrade
from headrace.server.connections.websocket_protocol import WebSocketProtocol
from headrace.server.context import ServerContext

MAX_BYTES: Final = 32 * 1024 * 1024

_BINARY_MARK: Final = "\ud800"
"""The start of a Text that was a binary message. No text has it: UTF-8 has no lone surrogates."""


class BinaryGuard(FrameGuard):
    """Checks a binary message as if it were a text."""

    def frame_inbound_header(
        self,
        proto: FrameDecoder | FrameProtocol,
        opcode: Opcode,
        rsv: RsvBits,
        payload_length: int,
    ) -> CloseReason | RsvBits:
        if opcode is Opcode.BINARY:
            opcode = Opcode.TEXT
        return super().frame_inbound_header(proto, opcode, rsv, payload_length)


class _BinaryAsText:
    """A wsproto connection whose binary messages are texts, with a mark and one character a byte.

    So the product's decoder takes them through the same code as texts.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._in_message = False

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)

    def events(self) -> Iterator[Event]:
        for event in self._connection.events():
            if isinstance(event, BytesMessage):
                text = ("" if self._in_message else _BINARY_MARK) + event.data.decode("latin-1")
                self._in_message = not event.message_finished
                yield TextMessage(text, event.frame_finished, event.message_finished)
            else:
                yield event


class BinaryDecoder(frame_reader._Decoder):
    """The product's decoder, on a connection that reports binary messages as texts."""

    def __init__(self, *, deflate: bool, max_bytes: int) -> None:
        super().__init__(deflate=deflate, max_bytes=max_bytes)
        self._connection = _BinaryAsText(self._connection)  # type: ignore[assignment]  # a wrapper


class EchoProtocol(WebSocketProtocol):
    """Answers each message with the same message.

    `received_bytes` counts the bytes that have been handled; `received` is set when it changes.
    """

    latest: "EchoProtocol"
    """The connection that was opened last."""

    def __init__(
        self, context: ServerContext, transport: asyncio.Transport, encoding: Encoding
    ) -> None:
        super().__init__(context, transport, encoding)
        self._reader = FrameReader(max_bytes=MAX_BYTES)
        self.received_bytes = 0
        self.received = asyncio.Event()
        EchoProtocol.latest = self

    @property
    def is_open(self) -> bool:
        """True if neither side has closed."""
        return self._session is not None and not self._transport.is_closing()

    def _handle_text(self, data: str) -> None:
        if data.startswith(_BINARY_MARK):
            reply = frames.frame(BINARY, data[1:].encode("latin-1"))
        else:
            reply = frames.frame(frames.TEXT, data.encode())
        if self._session is not None:
            self._transport.write(reply)

    def _read(self, data: bytes) -> None:
        super()._read(data)
        self.received_bytes += len(data)
        self.received.set()

    async def wait_received(self, size: int) -> None:
        """Wait until `size` bytes have been handled."""
        while self.received_bytes < size:
            self.received.clear()
            await self.received.wait()


@asynccontextmanager
async def open_echo_site() -> AsyncIterator[Site]:
    """Run the server in this process."""
    with (
        mock.patch.object(upgrade, "WebSocketProtocol", EchoProtocol),
        mock.patch.object(frame_reader, "FrameGuard", BinaryGuard),
        mock.patch.object(frame_reader, "_Decoder", BinaryDecoder),
        mock.patch.object(memory_budget, "CLIENT_MAX_BYTES", MAX_BYTES),
    ):
        async with open_site() as site:
            yield site

"""A client on a plain socket: the test writes and reads the bytes itself."""

import asyncio
import socket
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import msgspec
from tests.helpers.client_bytes import client_frame
from tests.helpers.site import Json

from headrace.messages import frames

KEY = b64encode(b"sixteen bytes...").decode()


class RawResponse(NamedTuple):
    """An HTTP response."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Json:
        decoded: Json = msgspec.json.decode(self.body)
        return decoded


class Wire:
    """One connection; it reads from the socket only when a method is called."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._loop = asyncio.get_running_loop()
        self._buffer = b""

    async def write(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._socket, data)

    async def read_some(self) -> bytes:
        """Return the next bytes, or b"" if the server has closed its side."""
        data, self._buffer = self._buffer, b""
        return data or await self._loop.sock_recv(self._socket, 1 << 16)

    async def read_exactly(self, size: int) -> bytes:
        """Return `size` bytes; raise EOFError if the server closes its side before."""
        pieces: list[bytes] = []
        missing = size
        while missing:
            piece = await self.read_some()
            if not piece:
                raise EOFError(b"".join(pieces))
            self._buffer = piece[missing:]
            pieces.append(piece[:missing])
            missing -= len(pieces[-1])
        return b"".join(pieces)

    async def read_to_end(self) -> bytes:
        """Return all bytes until the server closes its side."""
        pieces = []
        while piece := await self.read_some():
            pieces.append(piece)
        return b"".join(pieces)

    async def read_head(self) -> bytes:
        """Return the head of a response; raise EOFError if the server closes its side before."""
        head = b""
        while b"\r\n\r\n" not in head:
            piece = await self.read_some()
            if not piece:
                raise EOFError(head)
            head += piece
        head, separator, self._buffer = head.partition(b"\r\n\r\n")
        return head + separator

    async def read_response(self, *, has_body: bool = True) -> RawResponse:
        """Return the next HTTP response; its body must have a Content-Length."""
        status_line, *lines = (await self.read_head()).decode("latin-1").split("\r\n")[:-2]
        version, status, _ = status_line.split(" ", 2)
        assert version == "HTTP/1.1"
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(": ")
            assert name not in headers
            headers[name] = value
        size = int(headers.get("content-length", "0")) if has_body else 0
        return RawResponse(int(status), headers, await self.read_exactly(size))

    async def fetch(self, method: str, path: str, *headers: str, body: bytes = b"") -> RawResponse:
        """Send a request and return the response."""
        await self.write(request(method, path, *headers, body=body))
        return await self.read_response(has_body=method != "HEAD")

    async def upgrade(self, token: str, *, v1: bool = True, query: str = "") -> None:
        """Open a WebSocket; with `v1`, the `open` frame is not read."""
        await self.write(handshake(token, v1=v1, query=query))
        assert (await self.read_response(has_body=False)).status == 101

    async def read_frame(self) -> tuple[int, bytes]:
        """Return the opcode and the payload of the next frame, which is final and not masked."""
        first, size = await self.read_exactly(2)
        assert first & 0xF0 == 0x80
        if size == 126:
            size = int.from_bytes(await self.read_exactly(2), "big")
        elif size == 127:
            size = int.from_bytes(await self.read_exactly(8), "big")
        return first & 0x0F, await self.read_exactly(size)

    async def read_text(self) -> str:
        """Return the payload of the next frame, which must be a text frame."""
        opcode, payload = await self.read_frame()
        assert opcode == frames.TEXT, payload
        return payload.decode()

    async def read_json(self) -> Json:
        """Return the decoded JSON of the next text frame."""
        decoded: Json = msgspec.json.decode(await self.read_text())
        return decoded

    async def read_close_code(self) -> int:
        """Return the code of the next frame, which must be a close frame with a reason."""
        opcode, payload = await self.read_frame()
        assert opcode == frames.CLOSE, payload[:100]
        assert payload[2:].decode()
        return int.from_bytes(payload[:2], "big")

    async def read_until_closed(self) -> bytes:
        """Return all bytes until the connection is closed or reset."""
        pieces = []
        try:
            while piece := await self.read_some():
                pieces.append(piece)
        except ConnectionResetError:
            pass
        return b"".join(pieces)

    def write_eof(self) -> None:
        """Close this side; the server can still send."""
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._socket.close()


@asynccontextmanager
async def wire(port: int, *, receive_buffer_bytes: int | None = None) -> AsyncIterator[Wire]:
    """Connect; with a small receive buffer, unread data soon stays in the server."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    if receive_buffer_bytes is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    try:
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        yield Wire(sock)
    finally:
        sock.close()


def request(method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    """Return an HTTP/1.1 request, with the Content-Length of the body if there is one."""
    lines = [f"{method} {path} HTTP/1.1", "Host: headrace.test", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def handshake(token: str, *, v1: bool = True, query: str = "") -> bytes:
    """Return an opening handshake with the token in a subprotocol (`v1`) or in the query."""
    headers = [
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {KEY}",
    ]
    if v1:
        headers.append(f"Sec-WebSocket-Protocol: headrace.v1, headrace.token.{token}")
        return request("GET", f"/v1/connect{query}", *headers)
    return request("GET", f"/v1/connect?token={token}", *headers)


def client_close(code: int, reason: str = "") -> bytes:
    """Return a client's close frame."""
    return client_frame(frames.CLOSE, code.to_bytes(2, "big") + reason.encode())

"""A client whose every byte the test writes and reads itself, on a plain socket."""

import asyncio
import socket
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import msgspec
from tests.server.kit import Json

from headrace import frames

BINARY = 0x2
CONTINUATION = 0x0
KEY = b64encode(b"sixteen bytes...").decode()


class Reply(NamedTuple):
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Json:
        decoded: Json = msgspec.json.decode(self.body)
        return decoded


class Wire:
    """One connection. Nothing is read but what a method asks for."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._loop = asyncio.get_running_loop()
        self._buffer = b""

    async def write(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._socket, data)

    async def read_some(self) -> bytes:
        """Return what came; b"" at the peer's end."""
        data, self._buffer = self._buffer, b""
        return data or await self._loop.sock_recv(self._socket, 1 << 16)

    async def read_exactly(self, size: int) -> bytes:
        """Return `size` bytes; EOFError where the peer ends before."""
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
        """Return all that comes until the peer ends its side."""
        pieces = []
        while piece := await self.read_some():
            pieces.append(piece)
        return b"".join(pieces)

    async def read_head(self) -> bytes:
        """Return an answer's head with its empty line; EOFError where the peer ends before."""
        head = b""
        while b"\r\n\r\n" not in head:
            piece = await self.read_some()
            if not piece:
                raise EOFError(head)
            head += piece
        head, separator, self._buffer = head.partition(b"\r\n\r\n")
        return head + separator

    async def reply(self, *, has_body: bool = True) -> Reply:
        """Return the next HTTP answer, whose body has a Content-Length."""
        status_line, *lines = (await self.read_head()).decode("latin-1").split("\r\n")[:-2]
        version, status, _ = status_line.split(" ", 2)
        assert version == "HTTP/1.1"
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(": ")
            assert name not in headers
            headers[name] = value
        size = int(headers.get("content-length", "0")) if has_body else 0
        return Reply(int(status), headers, await self.read_exactly(size))

    async def ask(self, method: str, path: str, *headers: str, body: bytes = b"") -> Reply:
        """Send a request and return its answer."""
        await self.write(request(method, path, *headers, body=body))
        return await self.reply(has_body=method != "HEAD")

    async def upgrade(self, token: str, *, v1: bool = True, query: str = "") -> None:
        """Open a WebSocket; on `headrace.v1` the `open` frame has still to be read."""
        await self.write(handshake(token, v1=v1, query=query))
        assert (await self.reply(has_body=False)).status == 101

    async def frame(self) -> tuple[int, bytes]:
        """Return a frame's opcode and payload; a server's frames are final and not masked."""
        first, size = await self.read_exactly(2)
        assert first & 0xF0 == 0x80
        if size == 126:
            size = int.from_bytes(await self.read_exactly(2), "big")
        elif size == 127:
            size = int.from_bytes(await self.read_exactly(8), "big")
        return first & 0x0F, await self.read_exactly(size)

    async def text(self) -> str:
        """Return the payload of the next frame, which is a text."""
        opcode, payload = await self.frame()
        assert opcode == frames.TEXT, payload
        return payload.decode()

    async def json(self) -> Json:
        """Return the next frame of `headrace.v1`."""
        decoded: Json = msgspec.json.decode(await self.text())
        return decoded

    async def close_code(self) -> int:
        """Return the code of the next frame, which is a close."""
        opcode, payload = await self.frame()
        assert opcode == frames.CLOSE, payload[:100]
        assert payload[2:].decode()
        return int.from_bytes(payload[:2], "big")

    async def read_until_cut(self) -> bytes:
        """Return all that comes until the connection is over, whether it ends or is reset."""
        pieces = []
        try:
            while piece := await self.read_some():
                pieces.append(piece)
        except ConnectionResetError:
            pass
        return b"".join(pieces)

    def end(self) -> None:
        """End our side; the other can go on."""
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._socket.close()


@asynccontextmanager
async def wire(port: int, *, receive_buffer_bytes: int | None = None) -> AsyncIterator[Wire]:
    """Connect; a small receive buffer makes the server feel at once that nothing is read."""
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
    """Return an HTTP/1.1 request; a body gets its Content-Length."""
    lines = [f"{method} {path} HTTP/1.1", "Host: headrace.test", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def handshake(token: str, *, v1: bool = True, query: str = "") -> bytes:
    """Return a WebSocket's opening handshake, the token in the subprotocol or the query."""
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


def masked(opcode: int, payload: bytes, *, final: bool = True, mask: bytes = b"abcd") -> bytes:
    """Return a client's frame (RFC 6455 section 5.2)."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 65536:
        length = bytes([0x80 | 126]) + size.to_bytes(2, "big")
    else:
        length = bytes([0x80 | 127]) + size.to_bytes(8, "big")
    covered = bytes([byte ^ mask[i % 4] for i, byte in enumerate(payload)])
    return bytes([0x80 * final | opcode]) + length + mask + covered


def masked_close(code: int, reason: str = "") -> bytes:
    """Return a client's close frame."""
    return masked(frames.CLOSE, code.to_bytes(2, "big") + reason.encode())

"""How each server under test is made to publish to everyone, in the way its users would do it."""

import json
import secrets
import socket
from collections.abc import Mapping, Sequence

from bench.system.load_client import BenchError

RESPONSE_TIMEOUT_S = 30.0
"""The longest wait for the responses to the sends of a tick."""

API_KEY = secrets.token_urlsafe(32)

EVERYONE: Mapping[str, object] = {"everyone": True}


class LinePublisher:
    """The control protocol of `bare_server.py` and `peers/`: a line is a message to everyone."""

    def __init__(self, port: int) -> None:
        self._socket = _connect(port)

    def publish(self, messages: Sequence[bytes]) -> None:
        self._socket.sendall(b"".join(message + b"\n" for message in messages))

    def confirm(self) -> None:
        """Return at once: these servers do not respond."""


class SendPublisher:
    """`POST /v1/send`, pipelined on one keep-alive connection."""

    def __init__(self, port: int, target: Mapping[str, object] = EVERYONE) -> None:
        self._target = target
        self._socket = _connect(port)
        self._responses = self._socket.makefile("rb")
        self._pending = 0

    def publish(self, messages: Sequence[bytes]) -> None:
        requests = [
            _post("/v1/send", "application/json", _encode_send(each, self._target))
            for each in messages
        ]
        self._socket.sendall(b"".join(requests))
        self._pending += len(requests)

    def confirm(self) -> None:
        for _ in range(self._pending):
            self._read_response()
        self._pending = 0

    def _read_response(self) -> bytes:
        """Read one response (RFC 9112 sections 6 and 7.1) and return its body."""
        responses = self._responses
        status_line = responses.readline()
        headers = {}
        while (line := responses.readline().strip()) != b"":
            name, _, value = line.partition(b":")
            headers[name.lower()] = value.strip()
        if b"content-length" in headers:
            body = responses.read(int(headers[b"content-length"]))
        else:
            body = b""
            while (size := int(responses.readline(), 16)) > 0:
                body += responses.read(size)
                responses.readline()
            responses.readline()
        if b" 200 " not in status_line:
            raise BenchError(f"a send was refused: {status_line!r} {body!r}")
        return body


class BatchPublisher(SendPublisher):
    """`POST /v1/send/batch`: the messages of a tick are the lines of one request."""

    def publish(self, messages: Sequence[bytes]) -> None:
        lines = b"\n".join([_encode_send(message, self._target) for message in messages])
        self._socket.sendall(_post("/v1/send/batch", "application/x-ndjson", lines))
        self._pending = len(messages)

    def confirm(self) -> None:
        body = self._read_response()
        if body.count(b'"sessions"') != self._pending:
            raise BenchError(f"not every line of the batch was sent: {body[:500]!r}")


def _connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=RESPONSE_TIMEOUT_S)


def _encode_send(message: bytes, target: Mapping[str, object]) -> bytes:
    return json.dumps({**target, "data": message.decode()}).encode()


def _post(path: str, media_type: str, body: bytes) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {API_KEY}\r\n"
        f"Content-Type: {media_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body

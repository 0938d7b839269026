"""How the servers under test are made to publish to everyone, each in the way its users would."""

import json
import secrets
import socket
from collections.abc import Mapping, Sequence

from bench.loadclient import BenchError

ANSWER_TIMEOUT_S = 30.0
"""The longest wait for the answers to a tick's sends."""

API_KEY = secrets.token_urlsafe(32)

EVERYONE: Mapping[str, object] = {"everyone": True}


class LinePublisher:
    """The control protocol of `bare.py` and the peers: a line is a message to everyone."""

    def __init__(self, port: int) -> None:
        self._socket = _connect(port)

    def publish(self, messages: Sequence[bytes]) -> None:
        self._socket.sendall(b"".join(message + b"\n" for message in messages))

    def confirm(self) -> None:
        """Nothing to read: these servers do not answer."""


class SendPublisher:
    """`POST /v1/send`, pipelined on one kept-alive connection."""

    def __init__(self, port: int, target: Mapping[str, object] = EVERYONE) -> None:
        self._target = target
        self._socket = _connect(port)
        self._answers = self._socket.makefile("rb")
        self._sent = 0

    def publish(self, messages: Sequence[bytes]) -> None:
        requests = [
            _post("/v1/send", "application/json", _send(each, self._target)) for each in messages
        ]
        self._socket.sendall(b"".join(requests))
        self._sent += len(requests)

    def confirm(self) -> None:
        for _ in range(self._sent):
            self._read_answer()
        self._sent = 0

    def _read_answer(self) -> bytes:
        """Read one answer (RFC 9112 sections 6 and 7.1) and return its body."""
        answers = self._answers
        status = answers.readline()
        headers = {}
        while (line := answers.readline().strip()) != b"":
            name, _, value = line.partition(b":")
            headers[name.lower()] = value.strip()
        if b"content-length" in headers:
            body = answers.read(int(headers[b"content-length"]))
        else:
            body = b""
            while (size := int(answers.readline(), 16)) > 0:
                body += answers.read(size)
                answers.readline()
            answers.readline()
        if b" 200 " not in status:
            raise BenchError(f"a send was refused: {status!r} {body!r}")
        return body


class BatchPublisher(SendPublisher):
    """`POST /v1/send/batch`: the messages of a tick are the lines of one request."""

    def publish(self, messages: Sequence[bytes]) -> None:
        lines = b"\n".join([_send(message, self._target) for message in messages])
        self._socket.sendall(_post("/v1/send/batch", "application/x-ndjson", lines))
        self._sent = len(messages)

    def confirm(self) -> None:
        body = self._read_answer()
        if body.count(b'"sessions"') != self._sent:
            raise BenchError(f"not every line of the batch was sent: {body[:500]!r}")


def _connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=ANSWER_TIMEOUT_S)


def _send(message: bytes, target: Mapping[str, object]) -> bytes:
    return json.dumps({**target, "data": message.decode()}).encode()


def _post(path: str, media_type: str, body: bytes) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {API_KEY}\r\n"
        f"Content-Type: {media_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body

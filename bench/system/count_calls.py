"""Count the Python calls of one send, from the request's arrival to the subscriber's socket.

    python bench/system/count_calls.py [--root /path/to/another/checkout/core]

One process runs the server, a WebSocket subscriber and an HTTP client with a keep-alive connection.
`sys.setprofile` counts the calls of functions defined in the package `headrace` during one
`POST /v1/send`, until the client has the response and the subscriber has the frame. A resumed
coroutine counts as a call. The client code is outside the package and does not count.

A periodic timer of the server may fire during a measurement. The send is therefore repeated, and
the repetition with the fewest calls is reported.
"""

import argparse
import asyncio
import base64
import hashlib
import hmac
import importlib
import json
import secrets
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import uvloop

WARM_UP_SENDS = 50
TIMEOUT_S = 5.0
"""The longest wait for one response or frame."""

SECRET = secrets.token_urlsafe(32)
API_KEY = secrets.token_urlsafe(32)
CLIENT_ID = "subscriber"
DEFAULT_ROOT = Path(__file__).resolve().parents[2] / "core"

Calls = Counter[tuple[str, str]]
"""Number of calls by file, relative to the package, and function."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--root", type=Path, default=DEFAULT_ROOT, help="the directory that holds the package"
    )
    parser.add_argument("--repeat", type=int, default=20, help="number of sends to measure")
    options = parser.parse_args()
    root = options.root.resolve()
    sys.path.insert(0, str(root))
    headrace = importlib.import_module("headrace")
    package = Path(headrace.__file__ or "").parent
    if package != root / "headrace":
        sys.exit(f"count_calls: imported {package}, which is not in {root}")
    print_table(uvloop.run(measure(headrace, package, options.repeat)))


async def measure(headrace: Any, package: Path, repeat: int) -> Calls:
    """Return the calls of the send that made the fewest."""
    body = json.dumps({"to": CLIENT_ID, "data": "x" * 128}).encode()
    request = (
        "POST /v1/send HTTP/1.1\r\n"
        "Host: localhost\r\n"
        f"Authorization: Bearer {API_KEY}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n"
        "User-Agent: count_calls\r\n"
        "Accept: */*\r\n\r\n"
    ).encode() + body
    async with running_server(headrace) as port:
        subscriber, publisher = await connect(port), await connect(port)
        subscriber.send(handshake())
        await receive(subscriber, b'"type":"open"')
        for _ in range(WARM_UP_SENDS):
            await send(publisher, subscriber, request)
        measurements = []
        for _ in range(repeat):
            calls: Calls = Counter()
            sys.setprofile(call_counter(calls, package))
            try:
                await send(publisher, subscriber, request)
            finally:
                sys.setprofile(None)
            measurements.append(calls)
        subscriber.close()
        publisher.close()
    return min(measurements, key=Counter.total)


def call_counter(calls: Calls, package: Path) -> Any:
    """Return a profile function that counts the calls of functions defined in `package`."""
    prefix = f"{package}/"

    def profile(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and (code := frame.f_code).co_filename.startswith(prefix):
            calls[code.co_filename.removeprefix(prefix), code.co_qualname] += 1

    return profile


@asynccontextmanager
async def running_server(headrace: Any) -> AsyncIterator[int]:
    """Run a server in this process, with either constructor of `Server`; yield its port."""
    settings = importlib.import_module("headrace.settings").Settings(
        port=0, secrets=(SECRET,), api_key=API_KEY, drain_s=0
    )
    if hasattr(headrace, "Hub"):
        hub = headrace.Hub(settings)
        server = headrace.Server(hub)
        async with hub, server:
            yield server.port
        return
    server = importlib.import_module("headrace.server").Server(settings)
    await server.start()
    try:
        yield server.port
    finally:
        await server.stop()


async def connect(port: int) -> socket.socket:
    """Return a non-blocking socket that is connected to the server."""
    connection = socket.socket()
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def handshake() -> bytes:
    """Return the request that opens the subscriber's WebSocket, with a token (RFC 7519)."""
    claims = {"sub": CLIENT_ID, "exp": int(time.time()) + 600}
    unsigned = b".".join(
        [_base64url(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    )
    signature = hmac.digest(SECRET.encode(), unsigned, hashlib.sha256)
    token = (unsigned + b"." + _base64url(signature)).decode()
    return (
        "GET /v1/connect HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Protocol: headrace.v1, headrace.token.{token}\r\n\r\n"
    ).encode()


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


async def send(publisher: socket.socket, subscriber: socket.socket, request: bytes) -> None:
    """Send one message; return when the response and the frame have been received."""
    publisher.send(request)
    response = await receive(publisher, b'"sessions":')
    if not response.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(f"the send was refused: {response!r}")
    await receive(subscriber, b'"data":')


async def receive(connection: socket.socket, expected: bytes) -> bytes:
    """Return the bytes received, once they contain `expected`.

    Reads without blocking and yields to the event loop in between, because the server runs in it.
    """
    received = b""
    deadline = time.monotonic() + TIMEOUT_S
    while expected not in received:
        try:
            data = connection.recv(65536)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{expected!r} not received within {TIMEOUT_S:g} s, but {received!r}"
                ) from None
            await asyncio.sleep(0)
            continue
        if not data:
            raise ConnectionError(f"closed by the server after {received!r}")
        received += data
    return received


def print_table(calls: Calls) -> None:
    files = Counter[str]()
    for (file, _), count in calls.items():
        files[file] += count
    print(f"{calls.total()} calls in {len(files)} files\n")
    print("calls  file and function")
    for file, count in files.most_common():
        print(f"{count:5}  {file}")
        functions = {name: n for (other, name), n in calls.items() if other == file}
        for name, number in Counter(functions).most_common():
            print(f"       {number:5}  {name}")


if __name__ == "__main__":
    main()

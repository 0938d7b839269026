"""How to start each server under test."""

import importlib.util
import json
import os
import re
import secrets
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from bench.loadclient import BenchError, Publisher
from bench.publishers import API_KEY, BatchPublisher, LinePublisher, SendPublisher

from headrace.tokens import TokenSigner

HERE = Path(__file__).parent
ROOT = HERE.parent

START_TIMEOUT_S = 15.0
"""From starting a server until it says where it listens."""

STDERR_TAIL_CHARACTERS = 1500
"""How much of a failed server's stderr is shown."""

SECRET = secrets.token_urlsafe(32)
_signer = TokenSigner([SECRET.encode()])


def _plain_request(_: int) -> bytes:
    return (
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )


def handshake(client_id: str, groups: Sequence[str] = (), last_id: str = "") -> bytes:
    """Return the request that opens a WebSocket of Headrace for a client."""
    token = _signer.mint(client_id, now=time.time(), groups=groups).token
    return (
        f"GET /v1/connect?last_id={last_id} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Protocol: headrace.v1, headrace.token.{token}\r\n\r\n"
    ).encode()


def _headrace_request(number: int) -> bytes:
    return handshake(f"client-{number}")


@dataclass(frozen=True)
class Server:
    """One row of the table.

    `command` starts it; `ready` finds its ports (clients, control) in what it prints; `request`
    makes the handshake of client n, and `opening` must follow the answer's head. `module` (Python)
    or `file` (Node) must be installed.
    """

    title: str
    command: tuple[str, ...]
    ready: re.Pattern[bytes] = re.compile(rb"ready (\d+) (\d+)\s")
    publisher: Callable[[int], Publisher] = LinePublisher
    request: Callable[[int], bytes] = _plain_request
    opening: bytes = b""
    module: str | None = None
    file: Path | None = None

    def check(self) -> None:
        """Raise BenchError where something that the server needs is not installed."""
        if shutil.which(self.command[0]) is None:
            raise BenchError(f"{self.title} needs {self.command[0]}, which is not installed")
        if self.module is not None and importlib.util.find_spec(self.module) is None:
            raise BenchError(f"{self.title} is not installed: `pip install {self.module}`")
        if self.file is not None and not self.file.exists():
            raise BenchError(f"{self.title} is not installed: `npm --prefix js ci`")

    def versions(self) -> dict[str, str]:
        """Return the versions of what is measured, beside Python, uvloop and Headrace."""
        if self.module is not None:
            return {self.module: metadata.version(self.module)}
        if self.file is not None:
            package = json.loads((self.file / "package.json").read_text())
            node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
            return {"node": node.stdout.strip().lstrip("v"), "ws": package["version"]}
        return {}


def _headrace(title: str, publisher: Callable[[int], Publisher]) -> Server:
    return Server(
        title,
        (sys.executable, str(ROOT / "server.py"), "--port", "0"),
        ready=re.compile(rb"http://127\.0\.0\.1:((\d+))\s"),
        publisher=publisher,
        request=_headrace_request,
        opening=b'"type":"open"',
    )


def _python_peer(name: str) -> Server:
    return Server(name, (sys.executable, str(HERE / f"peers/with_{name}.py")), module=name)


SERVERS = {
    "bare": Server("bare loop, write per message", (sys.executable, str(HERE / "bare.py"))),
    "bare-joined": Server(
        "bare loop, joined write", (sys.executable, str(HERE / "bare.py"), "--joined")
    ),
    "headrace": _headrace("Headrace", SendPublisher),
    "headrace-batch": _headrace("Headrace by POST /v1/send/batch", BatchPublisher),
    "websockets": _python_peer("websockets"),
    "aiohttp": _python_peer("aiohttp"),
    "picows": _python_peer("picows"),
    "ws": Server(
        "ws (Node)",
        ("node", str(HERE / "peers/with_ws.mjs")),
        file=ROOT / "js/node_modules/ws",
    ),
}


@dataclass(frozen=True)
class Running:
    """A started server: its process ID, where clients connect, and how to publish."""

    pid: int
    port: int
    publisher: Publisher


@contextmanager
def running(server: Server, clients: int, core: int) -> Iterator[Running]:
    """Start `server` on `core` alone, ready for so many clients; kill it at the end.

    Whatever goes wrong with it, here or in the caller's block, becomes a BenchError that ends with
    the last it wrote to stderr.
    """
    environment = os.environ | {
        "HEADRACE_SECRET": SECRET,
        "HEADRACE_API_KEY": API_KEY,
        "HEADRACE_MAX_CONNECTIONS": str(clients + 100),
        # Far away, so that only messages count.
        "HEADRACE_PING_INTERVAL_S": "3600",
    }
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            ["taskset", "--cpu-list", str(core), *server.command],
            stdout=subprocess.PIPE,
            stderr=complaints,
            env=environment,
            cwd=ROOT,
        )
        try:
            match = _wait_until_ready(process, server.ready)
            yield Running(process.pid, int(match[1]), server.publisher(int(match[2])))
        except (BenchError, OSError) as error:
            complaints.seek(0)
            tail = complaints.read().decode(errors="replace")[-STDERR_TAIL_CHARACTERS:]
            raise BenchError(f"{server.title}: {error}\n{tail}".rstrip()) from error
        finally:
            process.kill()
            process.communicate()


def _wait_until_ready(
    process: subprocess.Popen[bytes], ready: re.Pattern[bytes]
) -> re.Match[bytes]:
    assert process.stdout is not None
    said = b""
    deadline = time.monotonic() + START_TIMEOUT_S
    while (match := ready.search(said)) is None:
        left_s = deadline - time.monotonic()
        if left_s <= 0 or not select.select([process.stdout], [], [], left_s)[0]:
            raise BenchError(f"not ready after {START_TIMEOUT_S:g} s; it said {said!r}")
        piece = os.read(process.stdout.fileno(), 4096)
        if not piece:
            raise BenchError(f"ended before it was ready; it said {said!r}")
        said += piece
    return match

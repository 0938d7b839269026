"""The servers under test: how each one is started and how its clients connect."""

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

from bench.system.load_client import BenchError, Publisher
from bench.system.publishers import API_KEY, BatchPublisher, LinePublisher, SendPublisher

from headrace.auth.tokens import TokenSigner

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

START_TIMEOUT_S = 15.0
"""From starting a server until it prints its ports."""

STDERR_TAIL_CHARACTERS = 1500
"""How much of a failed server's stderr is shown."""

SECRET = secrets.token_urlsafe(32)
OPENING = b'"type":"open"'
"""Part of the first frame that Headrace sends to a client."""

_signer = TokenSigner([SECRET.encode()])


def _plain_handshake(_: int) -> bytes:
    return (
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )


def headrace_handshake(client_id: str, groups: Sequence[str] = ()) -> bytes:
    """Return the request that opens a WebSocket to Headrace for a client."""
    token = _signer.mint(client_id, now=time.time(), groups=groups).token
    return (
        "GET /v1/connect?last_id= HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Protocol: headrace.v1, headrace.token.{token}\r\n\r\n"
    ).encode()


@dataclass(frozen=True)
class ServerSpec:
    """One row of the table.

    `command` starts the server. `ready` matches its ports (clients, control) in its output.
    `request` returns the handshake of client n, and `opening` must follow the response's head. The
    Python `module` or the Node package in the directory `node_package` must be installed.
    """

    title: str
    command: tuple[str, ...]
    ready: re.Pattern[bytes] = re.compile(rb"ready (\d+) (\d+)\s")
    publisher: Callable[[int], Publisher] = LinePublisher
    request: Callable[[int], bytes] = _plain_handshake
    opening: bytes = b""
    module: str | None = None
    node_package: Path | None = None

    def check_installed(self) -> None:
        """Raise BenchError if something that the server needs is not installed."""
        if shutil.which(self.command[0]) is None:
            raise BenchError(f"{self.title} needs {self.command[0]}, which is not installed")
        if self.module is not None and importlib.util.find_spec(self.module) is None:
            raise BenchError(f"{self.title} is not installed: `pip install {self.module}`")
        if self.node_package is not None and not self.node_package.exists():
            raise BenchError(f"{self.title} is not installed: `npm --prefix js ci`")

    def versions(self) -> dict[str, str]:
        """Return the versions of the server and its runtime, except Python, uvloop and Headrace."""
        if self.module is not None:
            return {self.module: metadata.version(self.module)}
        if self.node_package is not None:
            package = json.loads((self.node_package / "package.json").read_text())
            node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
            return {"node": node.stdout.strip().lstrip("v"), "ws": package["version"]}
        return {}


def _headrace(title: str, publisher: Callable[[int], Publisher]) -> ServerSpec:
    return ServerSpec(
        title,
        (sys.executable, str(ROOT / "server.py"), "--port", "0"),
        ready=re.compile(rb"http://127\.0\.0\.1:((\d+))\s"),
        publisher=publisher,
        request=lambda number: headrace_handshake(f"client-{number}"),
        opening=OPENING,
    )


def _python_peer(name: str) -> ServerSpec:
    return ServerSpec(name, (sys.executable, str(HERE / f"peers/{name}_server.py")), module=name)


BARE_SERVER = (sys.executable, str(HERE / "bare_server.py"))
HEADRACE = _headrace("Headrace", SendPublisher)
SERVERS = {
    "bare": ServerSpec("bare server, one write per message", BARE_SERVER),
    "bare-joined": ServerSpec("bare server, joined writes", (*BARE_SERVER, "--joined")),
    "headrace": HEADRACE,
    "headrace-batch": _headrace("Headrace with POST /v1/send/batch", BatchPublisher),
    "websockets": _python_peer("websockets"),
    "aiohttp": _python_peer("aiohttp"),
    "picows": _python_peer("picows"),
    "ws": ServerSpec(
        "ws (Node)",
        ("node", str(HERE / "peers/ws_server.mjs")),
        node_package=ROOT / "js/node_modules/ws",
    ),
}


@dataclass(frozen=True)
class RunningServer:
    """A started server: its process ID, the port for clients, and how to publish."""

    pid: int
    port: int
    publisher: Publisher


@contextmanager
def run_server(spec: ServerSpec, clients: int, core: int) -> Iterator[RunningServer]:
    """Run a server on `core` alone, prepared for `clients` connections; kill it at the end.

    Errors of the server, here or in the caller's block, become a BenchError that ends with the
    tail of the server's stderr.
    """
    environment = os.environ | {
        "HEADRACE_SECRET": SECRET,
        "HEADRACE_API_KEY": API_KEY,
        "HEADRACE_MAX_CONNECTIONS": str(clients + 100),
        # So long that no ping is sent during a run and only messages count.
        "HEADRACE_PING_INTERVAL_S": "3600",
    }
    with tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(
            ["taskset", "--cpu-list", str(core), *spec.command],
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=environment,
            cwd=ROOT,
        )
        try:
            match = _wait_until_ready(process, spec.ready)
            yield RunningServer(process.pid, int(match[1]), spec.publisher(int(match[2])))
        except (BenchError, OSError) as error:
            stderr.seek(0)
            tail = stderr.read().decode(errors="replace")[-STDERR_TAIL_CHARACTERS:]
            raise BenchError(f"{spec.title}: {error}\n{tail}".rstrip()) from error
        finally:
            process.kill()
            process.communicate()


def _wait_until_ready(
    process: subprocess.Popen[bytes], ready: re.Pattern[bytes]
) -> re.Match[bytes]:
    assert process.stdout is not None
    output = b""
    deadline = time.monotonic() + START_TIMEOUT_S
    while (match := ready.search(output)) is None:
        remaining_s = deadline - time.monotonic()
        if remaining_s <= 0 or not select.select([process.stdout], [], [], remaining_s)[0]:
            raise BenchError(f"not ready after {START_TIMEOUT_S:g} s; its output is {output!r}")
        chunk = os.read(process.stdout.fileno(), 4096)
        if not chunk:
            raise BenchError(f"ended before it was ready; its output is {output!r}")
        output += chunk
    return match

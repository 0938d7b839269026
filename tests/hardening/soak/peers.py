"""The clients of a soak run: what one round of each kind of load does.

Each function is one action of a round. All names come from a fixed population, so that what the
server rightly keeps for a client (revocations, group memberships) does not grow with the run.
"""

import asyncio
import contextlib
import json
import socket
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from random import Random

from tests.hardening.fuzz import corpus
from tests.helpers.client_bytes import client_frame
from tests.helpers.site import API_KEY, mint
from tests.helpers.wire import Wire, client_close, handshake, request, wire

from headrace.messages import frames

POPULATION = 200
REVOKED = 5
"""Clients whose tokens are revoked: most connections that they open afterwards are refused."""

GROUPS = 8
MESSAGE_CHARACTERS = 2000
CONNECTS_AT_ONCE = 50
KEY = f"Authorization: Bearer {API_KEY}"


@dataclass(frozen=True)
class Load:
    """The size of a round: clients of each action, and how long a faulty peer stays.

    `counts` has the number of clients that were `served` to their end, and of those `cut`.
    """

    port: int
    random: Random
    clients: int
    patience_s: float
    counts: Counter[str]

    def client_id(self) -> str:
        return f"client-{self.random.randrange(POPULATION)}"

    def group(self) -> str:
        return f"group-{self.random.randrange(GROUPS)}"

    def token(self) -> str:
        groups = [self.group()]
        return mint(self.client_id(), groups=groups, send=["group:*"], iat=time.time() - 0.001)


Action = Callable[[Load], Awaitable[None]]


async def run_clients(load: Load, count: int, make: Callable[[], Awaitable[None]]) -> None:
    """Run clients concurrently, some at a time, and count them; the server may cut any of them."""
    limit = asyncio.Semaphore(CONNECTS_AT_ONCE)

    async def run_one() -> None:
        async with limit:
            try:
                await make()
            except (OSError, EOFError):
                load.counts["cut"] += 1
            else:
                load.counts["served"] += 1

    await asyncio.gather(*(run_one() for _ in range(count)))


@contextlib.asynccontextmanager
async def connected(load: Load, **options: int) -> AsyncIterator[Wire]:
    """Open a `headrace.v1` WebSocket; raise EOFError if the server closes it at once.

    It does so after a revocation, and during a shutdown.
    """
    async with wire(load.port, **options) as client:
        await client.write(handshake(load.token()))
        response = await client.read_response(has_body=False)
        if response.status != 101:
            raise EOFError(response.status)
        opcode, payload = await client.read_frame()
        if opcode == frames.CLOSE:
            raise EOFError(payload)
        assert payload.startswith(b'{"type":"open"'), payload
        yield client


async def leave(client: Wire, random: Random) -> None:
    """Close in one of three ways: the closing handshake, the end of the stream, or a reset."""
    way = random.randrange(3)
    if way == 0:
        await client.write(client_close(1000))
        await client.read_until_closed()
    elif way == 1:
        client.write_eof()
        await client.read_until_closed()
    else:
        linger = struct.pack("ii", 1, 0)  # close(2) then sends RST
        client._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


async def post(load: Load, path: str, body: object) -> int:
    """Send a request of the application; return the status."""
    async with wire(load.port) as client:
        data = json.dumps(body).encode()
        reply = await client.fetch(
            "POST", path, KEY, "Content-Type: application/json", "Connection: close", body=data
        )
        return reply.status


# --- actions -------------------------------------------------------------------------------------


async def connect_wave(load: Load) -> None:
    """Connect many WebSockets, and disconnect them in different ways."""

    async def client() -> None:
        async with connected(load) as websocket:
            if load.random.random() < 0.3:
                await websocket.write(client_frame(frames.PING, b"ping"))
            await leave(websocket, load.random)

    await run_clients(load, load.clients * 4, client)


async def burst(load: Load) -> None:
    """Send batches to groups while their members read."""
    sends = load.clients * 2
    stopped = asyncio.Event()

    async def member() -> None:
        async with connected(load) as websocket:
            reading = asyncio.create_task(websocket.read_until_closed())
            await stopped.wait()
            await websocket.write(client_close(1000))
            await reading

    async def send() -> None:
        lines = [
            json.dumps({"group": load.group(), "data": "x" * MESSAGE_CHARACTERS})
            for _ in range(sends)
        ]
        async with wire(load.port) as client:
            head = ("Content-Type: application/x-ndjson", "Connection: close")
            body = "\n".join(lines).encode()
            await client.write(request("POST", "/v1/send/batch", KEY, *head, body=body))
            await client.read_until_closed()
        stopped.set()

    await asyncio.gather(run_clients(load, min(load.clients, CONNECTS_AT_ONCE), member), send())


async def slow_clients(load: Load) -> None:
    """Connect clients that never read, and send them more than the rings hold."""

    async def client() -> None:
        async with connected(load, receive_buffer_bytes=4096):
            await asyncio.sleep(load.patience_s)

    async def send() -> None:
        for _ in range(40):
            await post(load, "/v1/send", {"everyone": True, "data": "y" * 16_000})

    await asyncio.gather(run_clients(load, min(load.clients, CONNECTS_AT_ONCE), client), send())


async def half_open_peers(load: Load) -> None:
    """Leave requests, handshakes and frames incomplete, or say nothing."""
    begins = [
        b"",
        b"GET /v1/connect HTTP/1.1\r\nHost: a\r\n",
        request("POST", "/v1/send", KEY, "Content-Length: 1000") + b"{",
        request("POST", "/v1/send/batch", KEY, "Transfer-Encoding: chunked") + b"5\r\nab",
    ]

    async def http_peer() -> None:
        async with wire(load.port) as client:
            await client.write(load.random.choice(begins))
            await asyncio.sleep(load.patience_s)

    async def websocket_peer() -> None:
        async with connected(load) as client:
            frame = client_frame(frames.TEXT, b"x" * 1000)
            await client.write(frame[: load.random.choice([0, 1, 5, 500])])
            await asyncio.sleep(load.patience_s)

    async def stream_peer() -> None:
        async with wire(load.port) as client:
            await client.write(request("GET", f"/v1/events?token={load.token()}"))
            await asyncio.sleep(load.patience_s)

    await asyncio.gather(
        *(
            run_clients(load, load.clients // 4, peer)
            for peer in (http_peer, websocket_peer, stream_peer)
        )
    )


async def malformed_requests(load: Load) -> None:
    """Send the inputs of the fuzz corpus: requests, handshakes and frames."""
    requests = corpus.inputs("http") + corpus.inputs("handshake")
    streams = [data[1:] for data in corpus.inputs("frames")]

    async def http_peer() -> None:
        async with wire(load.port) as client:
            await client.write(load.random.choice(requests))
            client.write_eof()
            async with asyncio.timeout(load.patience_s):
                await client.read_until_closed()

    async def websocket_peer() -> None:
        async with connected(load) as client:
            await client.write(load.random.choice(streams))
            client.write_eof()
            async with asyncio.timeout(load.patience_s):
                await client.read_until_closed()

    await asyncio.gather(
        *(run_clients(load, load.clients, peer) for peer in (http_peer, websocket_peer))
    )


async def polls_and_streams(load: Load) -> None:
    """Start long polls and event streams, and cut them."""

    async def client() -> None:
        path = load.random.choice(["/v1/poll", "/v1/events"])
        async with wire(load.port) as peer:
            await peer.write(request("GET", f"{path}?token={load.token()}"))
            await asyncio.sleep(load.random.uniform(0, 0.3))

    await run_clients(load, load.clients, client)


async def application_requests(load: Load) -> None:
    """Create, join, leave, revoke and ask, with valid and invalid arguments."""

    async def client() -> None:
        client_id, group = load.client_id(), load.group()
        member = f"/v1/groups/{group}/members/{client_id}"
        method, path, body = load.random.choice(
            [
                ("POST", "/v1/channels", b'{"client_id":"%b"}' % client_id.encode()),
                ("POST", "/v1/channels", b'{"client_id":""}'),
                ("POST", "/v1/send", b'{"to":"%b","data":"x"}' % client_id.encode()),
                ("POST", "/v1/send", b"[" * 5000),
                ("PUT", member, b""),
                ("DELETE", member, b""),
                ("DELETE", f"/v1/channels/client-{load.random.randrange(REVOKED)}", b""),
                ("GET", f"/v1/presence/{client_id}", b""),
                ("GET", f"/v1/presence?group={group}", b""),
                ("GET", "/metrics", b""),
                ("GET", "/nowhere", b""),
            ]
        )
        async with wire(load.port) as peer:
            headers = (KEY, "Content-Type: application/json", "Connection: close")
            await peer.write(request(method, path, *headers, body=body))
            await peer.read_until_closed()

    await run_clients(load, load.clients * 2, client)


QUICK_ACTIONS: tuple[Action, ...] = (
    connect_wave,
    burst,
    malformed_requests,
    polls_and_streams,
    application_requests,
)
SLOW_ACTIONS: tuple[Action, ...] = (slow_clients, half_open_peers)
"""They last for the patience of their peers."""

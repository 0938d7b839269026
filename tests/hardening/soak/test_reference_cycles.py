"""Connections that end leave no reference cycles.

A cycle is freed by the garbage collector only, and the server runs a full collection about every
quarter of an hour. Until then a peer that connects and disconnects would fill the memory: a long
poll that is cut off once held 6 KiB in a cycle.
"""

import asyncio
import gc
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest
from tests.helpers.client_bytes import client_frame
from tests.helpers.site import API_KEY, Site, mint, open_site
from tests.helpers.wire import Wire, client_close, handshake, request, wire

from headrace.messages import frames

COUNT = 5
KEY = f"Authorization: Bearer {API_KEY}"

Attack = Callable[[Site, Wire], Awaitable[object]]


async def cut_poll(site: Site, client: Wire) -> None:
    await client.write(request("GET", f"/v1/poll?token={mint()}"))
    await wait_until(lambda: bool(site.core.sessions))


async def answered_poll(site: Site, client: Wire) -> None:
    await client.write(request("GET", f"/v1/poll?token={mint()}"))
    await wait_until(lambda: bool(site.core.sessions))
    await site.send("x")
    await client.read_response()


async def cut_event_stream(site: Site, client: Wire) -> None:
    await client.write(request("GET", f"/v1/events?token={mint()}"))
    await client.read_head()


async def closed_websocket(site: Site, client: Wire) -> None:
    await client.write(handshake(mint()))
    await client.read_response(has_body=False)
    await client.write(client_frame(frames.TEXT, b'{"type":"send"}') + client_close(1000))
    await client.read_until_closed()


async def cut_websocket(site: Site, client: Wire) -> None:
    await client.write(handshake(mint()))
    await client.read_response(has_body=False)
    await client.write(client_frame(frames.TEXT, b"x" * 100)[:50])


async def faulty_websocket(site: Site, client: Wire) -> None:
    await client.write(handshake(mint()))
    await client.read_response(has_body=False)
    await client.write(b"\xff\xff")
    await client.read_until_closed()


async def update_message(site: Site, client: Wire) -> None:
    await client.write(handshake(mint(send=["group:*"])))
    await client.read_response(has_body=False)
    await client.read_json()
    await client.write(client_frame(frames.TEXT, b'{"type":"send","data":"x","group":"g"}'))
    await client.read_json()


async def cut_body(site: Site, client: Wire) -> None:
    await client.write(request("POST", "/v1/send", KEY, "Content-Length: 100") + b"{")


async def cut_batch(site: Site, client: Wire) -> None:
    head = request(
        "POST",
        "/v1/send/batch",
        KEY,
        "Content-Type: application/x-ndjson",
        "Transfer-Encoding: chunked",
    )
    await client.write(head + b"5\r\nab")
    await client.read_head()


async def faulty_batch(site: Site, client: Wire) -> None:
    await cut_batch(site, client)
    await client.write(b"abcdef")
    await client.read_until_closed()


async def malformed_request(site: Site, client: Wire) -> None:
    await client.write(b"GET / HTTP/9.9\r\n\r\n")
    await client.read_until_closed()


async def refused_request(site: Site, client: Wire) -> None:
    await client.fetch("POST", "/v1/send", KEY, "Content-Type: application/json", body=b"[" * 2000)


ATTACKS: list[Attack] = [
    cut_poll,
    answered_poll,
    cut_event_stream,
    closed_websocket,
    cut_websocket,
    faulty_websocket,
    update_message,
    cut_body,
    cut_batch,
    faulty_batch,
    malformed_request,
    refused_request,
]


async def wait_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)


def reset(client: Wire) -> None:
    """Close with a RST."""
    linger = struct.pack("ii", 1, 0)
    client._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    client.close()


def collect_headrace_objects() -> Counter[str]:
    """Return what only a collection frees, by type."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        names = [
            type(each).__qualname__
            for each in gc.garbage
            if type(each).__module__.startswith("headrace.")
        ]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    return Counter(names)


@pytest.mark.parametrize("end", ["eof", "reset"])
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
async def test_no_reference_cycles(attack: Attack, end: str) -> None:
    async with open_site() as site:
        gc.collect()
        gc.disable()
        try:
            for _ in range(COUNT):
                async with wire(site.port) as client:
                    await attack(site, client)
                    if end == "reset":
                        reset(client)
            await site.wait_for_connections()
            await wait_until(lambda: not site.core.sessions)
            assert collect_headrace_objects() == Counter()
        finally:
            gc.enable()

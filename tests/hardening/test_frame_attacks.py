"""Attacks with frames: many sessions that send many tiny frames in each tick."""

import asyncio
import time
from contextlib import AsyncExitStack

from tests.helpers.client_bytes import client_frame
from tests.helpers.site import mint, open_site
from tests.helpers.wire import Wire, wire

from headrace.messages import frames
from headrace.protocol.websocket.frame_guard import EMPTY_FRAGMENTS_MAX_COUNT
from headrace.protocol.websocket.frame_reader import FrameReader
from headrace.server.connections.websocket_protocol import FRAMES_PER_TURN_BYTES

CONTINUATION = 0
SESSIONS = 40


async def test_empty_fragments_are_refused() -> None:
    async with open_site() as site, wire(site.port) as client:
        await client.upgrade(mint())
        await client.read_json()
        empty = client_frame(CONTINUATION, b"", fin=False)
        first = client_frame(frames.TEXT, b"{", fin=False)
        await client.write(first + empty * EMPTY_FRAGMENTS_MAX_COUNT)
        await client.write(client_frame(CONTINUATION, b"}"))
        assert (await client.read_json())["code"] == 400
        await client.write(first + empty * (EMPTY_FRAGMENTS_MAX_COUNT + 1))
        assert await client.read_close_code() == 1002


async def test_tiny_frames_of_many_sessions_do_not_delay_a_tick() -> None:
    async with open_site() as site, AsyncExitStack() as stack:
        clients: list[Wire] = []
        for number in range(SESSIONS):
            client = await stack.enter_async_context(wire(site.port))
            await client.upgrade(mint(f"client {number}"))
            await client.read_json()
            await client.write(client_frame(frames.TEXT, b" ", fin=False))
            clients.append(client)
        fragment = client_frame(CONTINUATION, b" ", fin=False)
        one_turn_s = _seconds_for(fragment * (FRAMES_PER_TURN_BYTES // len(fragment)))
        burst = fragment * (4000 // len(fragment))
        await asyncio.sleep(0.05)
        for client in clients:  # from the same thread: all is there before the server reads
            client._socket.send(burst)
        longest_s = 0.0
        last = time.perf_counter()
        while len(site.context.input_budget.waiting) or last == 0 or longest_s == 0:
            await asyncio.sleep(0)
            now = time.perf_counter()
            longest_s, last = max(longest_s, now - last), now
        whole_s = SESSIONS * 4 * one_turn_s
        assert longest_s < max(8 * one_turn_s, whole_s / 4)


def _seconds_for(data: bytes) -> float:
    reader = FrameReader()
    reader.receive_data(client_frame(frames.TEXT, b" ", fin=False))
    started = time.perf_counter()
    reader.receive_data(data)
    return time.perf_counter() - started

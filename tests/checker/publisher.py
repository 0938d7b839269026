"""A publisher: sends its messages one after the other, and repeats each until it has a response.

Each message has an idempotency key, so that a send without a response can be repeated. The
repetition must not send the message twice, except after a crash.
"""

import asyncio
import json
from collections.abc import Callable
from random import Random

import aiohttp
from tests.checker.message_generator import MessageGenerator
from tests.checker.message_id import parse_id
from tests.checker.restartable_server import RestartableServer
from tests.checker.sent_message import SentMessage

_TIMEOUT = aiohttp.ClientTimeout(total=3)
_BATCH_SHARE = 0.05
_BATCH_MAX_MESSAGES = 60
_RETRY_MIN_S, _RETRY_MAX_S = 0.02, 0.2
_CONNECTION_ERRORS = (aiohttp.ClientError, TimeoutError, ConnectionError)

_MessageWithData = tuple[SentMessage, str]


class Publisher:
    """Sends through the proxy at `port`. `sent` has every message that it has tried to send."""

    def __init__(
        self,
        server: RestartableServer,
        port: int,
        generator: MessageGenerator,
        random: Random,
        on_published: Callable[[int], None],
    ) -> None:
        """`on_published` is called with the number of messages that have just been settled."""
        self.sent: list[SentMessage] = []
        self.refusals: list[str] = []
        self.retries = 0
        self._server = server
        self._url = f"http://127.0.0.1:{port}"
        self._headers = {"authorization": f"Bearer {server.api_key}"}
        self._generator = generator
        self._random = random
        self._on_published = on_published

    async def run(self, messages: int, messages_per_s: float) -> None:
        """Publish `messages` messages, at most at the given rate."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as http:
            remaining = messages
            while remaining:
                is_batch = self._random.random() < _BATCH_SHARE
                size = self._random.randint(2, _BATCH_MAX_MESSAGES) if is_batch else 1
                count = min(remaining, size)
                batch = [self._generator.next() for _ in range(count)]
                self.sent += [sent for sent, _ in batch]
                await (self._send_batch(http, batch) if is_batch else self._send(http, batch[0]))
                remaining -= count
                self._on_published(count)
                ahead_s = (messages - remaining) / messages_per_s - (loop.time() - started)
                if ahead_s > 0:
                    await asyncio.sleep(ahead_s)  # limits the rate

    async def publish(self, message: _MessageWithData) -> None:
        """Publish one message that does not come from the generator."""
        self.sent.append(message[0])
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as http:
            await self._send(http, message)

    async def _send(self, http: aiohttp.ClientSession, message: _MessageWithData) -> None:
        sent, _ = message
        while not sent.is_settled:
            sent.epochs.add(self._server.state_epoch)
            try:
                async with http.post(
                    f"{self._url}/v1/send", json=_send_body(message), headers=self._headers
                ) as response:
                    self._read_result(sent, await response.read())
            except _CONNECTION_ERRORS:
                pass
            if not sent.is_settled:
                await self._wait_before_retry()

    async def _send_batch(self, http: aiohttp.ClientSession, batch: list[_MessageWithData]) -> None:
        headers = {**self._headers, "content-type": "application/x-ndjson"}
        while batch := [message for message in batch if not message[0].is_settled]:
            for sent, _ in batch:
                sent.epochs.add(self._server.state_epoch)
            body = "".join([json.dumps(_send_body(message)) + "\n" for message in batch]).encode()
            try:
                async with http.post(
                    f"{self._url}/v1/send/batch", data=body, headers=headers
                ) as response:
                    for sent, _ in batch:
                        line = await response.content.readline()
                        if response.status == 200 and not line.endswith(b"\n"):
                            break  # the response is incomplete: the others are repeated
                        self._read_result(sent, line)
                        if response.status != 200:
                            break
            except _CONNECTION_ERRORS:
                pass
            if not batch[-1][0].is_settled:
                await self._wait_before_retry()

    def _read_result(self, sent: SentMessage, body: bytes) -> None:
        """Read the result of one message: an ID or an error."""
        try:
            result = json.loads(body)
        except ValueError:
            self.refusals.append(f"{sent.key}: the response is {body[:200]!r}")
            return
        sent.epochs.add(self._server.state_epoch)
        if "id" in result:
            sent.accepted_id = parse_id(result["id"])
            self._server.latest_id = max(self._server.latest_id, sent.accepted_id)
        elif result.get("status") != 503:
            sent.refused = True
            self.refusals.append(f"{sent.key}: the response is {result}")

    async def _wait_before_retry(self) -> None:
        self.retries += 1
        await asyncio.sleep(self._random.uniform(_RETRY_MIN_S, _RETRY_MAX_S))


def _send_body(message: _MessageWithData) -> dict[str, object]:
    sent, data = message
    return {**sent.target(), "data": data, "idempotency_key": sent.key}

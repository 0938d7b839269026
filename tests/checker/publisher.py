"""A publisher: sends its messages one behind the other, each until it is answered.

Each has an idempotency key, so that a send whose answer was lost can be repeated. That must
not send it twice, but over a crash it may.
"""

import asyncio
import json
from collections.abc import Callable
from random import Random

import aiohttp
from tests.checker.ids import parse_id
from tests.checker.sending import Composer, Sent
from tests.checker.server import Server

_TIMEOUT = aiohttp.ClientTimeout(total=3)
_BATCH_MAX_MESSAGES = 60
_ERRORS = (aiohttp.ClientError, TimeoutError, ConnectionError)

Message = tuple[Sent, str]


class Publisher:
    """Sends through the gate at `port`; `sent` is everything it has tried."""

    def __init__(
        self,
        server: Server,
        port: int,
        composer: Composer,
        random: Random,
        published: Callable[[int], None],
    ) -> None:
        """`published` is told how many messages have just been answered."""
        self.sent: list[Sent] = []
        self.refused: list[str] = []
        self.retries = 0
        self._server = server
        self._url = f"http://127.0.0.1:{port}"
        self._headers = {"authorization": f"Bearer {server.api_key}"}
        self._composer = composer
        self._random = random
        self._published = published

    async def run(self, messages: int, messages_per_s: float) -> None:
        """Publish so many messages, at most so fast."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as http:
            left = messages
            while left:
                batched = self._random.random() < 0.05
                count = min(left, self._random.randint(2, _BATCH_MAX_MESSAGES) if batched else 1)
                todo = [self._composer.next() for _ in range(count)]
                self.sent += [sent for sent, _ in todo]
                await (self._batch(http, todo) if batched else self._single(http, todo[0]))
                left -= count
                self._published(count)
                ahead_s = (messages - left) / messages_per_s - (loop.time() - started)
                if ahead_s > 0:
                    await asyncio.sleep(ahead_s)  # the pace

    async def say(self, message: Message) -> None:
        """Publish one message that was not composed here."""
        self.sent.append(message[0])
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as http:
            await self._single(http, message)

    async def _single(self, http: aiohttp.ClientSession, message: Message) -> None:
        sent, _ = message
        while not sent.settled:
            sent.memories.add(self._server.memory)
            try:
                async with http.post(
                    f"{self._url}/v1/send", json=_request(message), headers=self._headers
                ) as answer:
                    self._take(sent, await answer.read())
            except _ERRORS:
                pass
            if not sent.settled:
                await self._pause()

    async def _batch(self, http: aiohttp.ClientSession, todo: list[Message]) -> None:
        headers = {**self._headers, "content-type": "application/x-ndjson"}
        while todo := [message for message in todo if not message[0].settled]:
            for sent, _ in todo:
                sent.memories.add(self._server.memory)
            body = "".join([json.dumps(_request(message)) + "\n" for message in todo]).encode()
            try:
                async with http.post(
                    f"{self._url}/v1/send/batch", data=body, headers=headers
                ) as answer:
                    for sent, _ in todo:
                        line = await answer.content.readline()
                        if answer.status == 200 and not line.endswith(b"\n"):
                            break  # cut short: the rest is tried again
                        self._take(sent, line)
                        if answer.status != 200:
                            break
            except _ERRORS:
                pass
            if not todo[-1][0].settled:
                await self._pause()

    def _take(self, sent: Sent, body: bytes) -> None:
        """Take the answer to one message: an id, or why not."""
        try:
            answer = json.loads(body)
        except ValueError:
            self.refused.append(f"{sent.key}: answered {body[:200]!r}")
            return
        sent.memories.add(self._server.memory)
        if "id" in answer:
            sent.answered = parse_id(answer["id"])
            self._server.latest = max(self._server.latest, sent.answered)
        elif answer.get("status") != 503:
            sent.refused = True
            self.refused.append(f"{sent.key}: answered {answer}")

    async def _pause(self) -> None:
        self.retries += 1
        await asyncio.sleep(self._random.uniform(0.02, 0.2))  # the wait before trying again


def _request(message: Message) -> dict[str, object]:
    sent, data = message
    return {**sent.target(), "data": data, "idempotency_key": sent.key}

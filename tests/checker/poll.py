"""A client over the long poll."""

import asyncio
import json

from tests.checker.client import Client
from tests.checker.http import Connection, check_status, connected
from tests.checker.ids import parse_id

PATIENCE_S = 4.0
"""How long an answer may take before the line counts as dead; a poll has no ping."""


class PollClient(Client):
    """Asks again on the same connection as long as that holds."""

    transport = "poll"
    _connection: Connection | None = None

    async def hang_up(self) -> None:
        if self._connection is not None:
            self._connection.end()

    async def _listen(self) -> None:
        async with connected(self._port) as connection:
            self._connection = connection
            try:
                while True:
                    await self._ask(connection)
            except TimeoutError:
                self.journal.counts["dead lines"] += 1
                raise
            finally:
                self._connection = None

    async def _ask(self, connection: Connection) -> None:
        connection.get(f"/v1/poll{self._query}", f"Authorization: Bearer {self._token}")
        async with asyncio.timeout(PATIENCE_S):
            status, headers = await connection.head()
            body = await connection.body(headers)
        check_status(status)
        answer = json.loads(body)
        self.journal.counts["opens"] += 1
        messages = answer["messages"]
        if answer.get("recovered") is False:
            # All that is left comes with the answer, so the loss ends before its first message.
            closed = self.losses_within or not messages
            end = parse_id(answer["last_id"] if closed else messages[0]["id"])
            self.journal.poll_lost(end, closed=closed)
        elif "recovered" in answer:
            raise ValueError(f"recovered is {answer['recovered']}")
        for message in messages:
            self._take(message.get("id"), message.get("data"), message.get("group"))
        self.journal.polled(answer["last_id"])

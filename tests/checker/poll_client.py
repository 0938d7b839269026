"""A client that uses the long poll."""

import asyncio
import json

from tests.checker.checker_client import CheckerClient
from tests.checker.http_client_connection import HttpClientConnection, check_status, connect
from tests.checker.message_id import parse_id

RESPONSE_TIMEOUT_S = 4.0
"""A connection is considered dead if a response takes longer; a poll has no ping."""


class PollClient(CheckerClient):
    """Polls on one connection until that connection ends."""

    transport = "poll"
    _connection: HttpClientConnection | None = None

    async def hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()

    async def _receive_once(self) -> None:
        async with connect(self._port) as connection:
            self._connection = connection
            try:
                while True:
                    await self._poll(connection)
            except TimeoutError:
                self.log.counts["dead connections"] += 1
                raise
            finally:
                self._connection = None

    async def _poll(self, connection: HttpClientConnection) -> None:
        connection.send_get(f"/v1/poll{self._query}", f"Authorization: Bearer {self._token}")
        async with asyncio.timeout(RESPONSE_TIMEOUT_S):
            status, headers = await connection.read_head()
            body = await connection.read_body(headers)
        check_status(status)
        response = json.loads(body)
        self.log.counts["opens"] += 1
        messages = response["messages"]
        if response.get("recovered") is False:
            # The response has all remaining messages, so the gap ends before the first of them.
            end_included = self.gap_within_response or not messages
            end = parse_id(response["last_id"] if end_included else messages[0]["id"])
            self.log.add_poll_gap(end, end_included=end_included)
        elif "recovered" in response:
            raise ValueError(f"recovered is {response['recovered']}")
        for message in messages:
            self._add_message(message.get("id"), message.get("data"), message.get("group"))
        self.log.add_poll_end(response["last_id"])

"""A client that uses Server-Sent Events, with the parser of WHATWG HTML, section 9.2.6."""

import asyncio
import json

from tests.checker.checker_client import OPEN_TIMEOUT_S, SILENCE_TIMEOUT_S, CheckerClient
from tests.checker.http_client_connection import HttpClientConnection, check_status, connect


class SseClient(CheckerClient):
    """Resumes with either `Last-Event-ID` or `?last_id=`, chosen at random."""

    transport = "sse"
    _connection: HttpClientConnection | None = None

    async def hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()

    async def _receive_once(self) -> None:
        resumed = self.log.opened
        target, headers = f"/v1/events{self._query}", [f"Authorization: Bearer {self._token}"]
        if resumed and self._random.random() < 0.5:
            target = "/v1/events"
            headers.append(f"Last-Event-ID: {self.log.last_id}")
        async with connect(self._port) as connection:
            self._connection = connection
            try:
                connection.send_get(target, *headers)
                async with asyncio.timeout(OPEN_TIMEOUT_S):
                    status, response_headers = await connection.read_head()
                check_status(status)
                if response_headers.get("content-type") != "text/event-stream":
                    raise ValueError(f"an event stream with the headers {response_headers}")
                await self._receive_events(connection.reader, resumed=resumed)
            except TimeoutError:
                self.log.counts["dead connections"] += 1
                raise
            finally:
                self._connection = None

    async def _receive_events(self, reader: asyncio.StreamReader, *, resumed: bool) -> None:
        fields: dict[str, str] = {}
        last_event_id = ""
        opened = False
        incomplete = b""
        while True:
            async with asyncio.timeout(SILENCE_TIMEOUT_S):
                data = await reader.read(1 << 16)
            if not data:
                return
            *lines, incomplete = (incomplete + data).split(b"\n")
            for line in lines:
                if line:
                    _parse_line(line.decode(), fields)
                    last_event_id = fields.get("id", last_event_id)
                    continue
                opened |= fields.get("event") == "headrace"
                if "data" in fields and not opened:
                    raise ValueError("a message before the open")
                self._add_event(fields, last_event_id, resumed=resumed)
                fields.clear()

    def _add_event(self, fields: dict[str, str], last_event_id: str, *, resumed: bool) -> None:
        """Log an event. An event without data is a ping, which may have an ID."""
        data = fields.get("data")
        if data is None:
            self.log.add_ping(fields.get("id"))
            return
        data = data.removesuffix("\n")
        if fields.get("event") == "headrace":
            control = json.loads(data)
            if control.get("type") == "open" and control.get("id") != last_event_id:
                raise ValueError(
                    f"open has the ID {control.get('id')}, its event has {last_event_id}"
                )
            self._add_control(control, resumed=resumed)
        else:
            self._add_message(fields.get("id"), data, None)


def _parse_line(line: str, fields: dict[str, str]) -> None:
    name, _, value = line.partition(":")
    value = value.removeprefix(" ")
    if name == "data":
        fields["data"] = fields.get("data", "") + value + "\n"
    elif name:  # not a comment
        fields[name] = value

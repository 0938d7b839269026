"""A client over Server-Sent Events: the parser of WHATWG HTML, section 9.2.6, on a plain socket."""

import asyncio
import json

from tests.checker.client import OPEN_TIMEOUT_S, SILENCE_S, Client
from tests.checker.http import Connection, check_status, connected


class EventStreamClient(Client):
    """Resumes with `Last-Event-ID` or with `?last_id=`, now the one and now the other."""

    transport = "sse"
    _connection: Connection | None = None

    async def hang_up(self) -> None:
        if self._connection is not None:
            self._connection.end()

    async def _listen(self) -> None:
        resumed = self.journal.opened
        target, headers = f"/v1/events{self._query}", [f"Authorization: Bearer {self._token}"]
        if resumed and self._random.random() < 0.5:
            target = "/v1/events"
            headers.append(f"Last-Event-ID: {self.journal.last_id}")
        async with connected(self._port) as connection:
            self._connection = connection
            try:
                connection.get(target, *headers)
                async with asyncio.timeout(OPEN_TIMEOUT_S):
                    status, answer = await connection.head()
                check_status(status)
                if answer.get("content-type") != "text/event-stream":
                    raise ValueError(f"an event stream with the headers {answer}")
                await self._receive(connection.reader, resumed=resumed)
            except TimeoutError:
                self.journal.counts["dead lines"] += 1
                raise
            finally:
                self._connection = None

    async def _receive(self, reader: asyncio.StreamReader, *, resumed: bool) -> None:
        fields: dict[str, str] = {}
        last_event_id = ""
        opened = False
        pending = b""
        while True:
            async with asyncio.timeout(SILENCE_S):
                data = await reader.read(1 << 16)
            if not data:
                return
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                if line:
                    _collect(line.decode(), fields)
                    last_event_id = fields.get("id", last_event_id)
                    continue
                opened |= fields.get("event") == "headrace"
                if "data" in fields and not opened:
                    raise ValueError("a message before the open")
                self._dispatch(fields, last_event_id, resumed=resumed)
                fields.clear()

    def _dispatch(self, fields: dict[str, str], last_event_id: str, *, resumed: bool) -> None:
        """Take an event; one without data only says an id, as a ping may."""
        data = fields.get("data")
        if data is None:
            self.journal.ping(fields.get("id"))
            return
        data = data.removesuffix("\n")
        if fields.get("event") == "headrace":
            notice = json.loads(data)
            if notice.get("type") == "open" and notice.get("id") != last_event_id:
                raise ValueError(f"an open with the id {notice.get('id')} under {last_event_id}")
            self._take_notice(notice, resumed=resumed)
        else:
            self._take(fields.get("id"), data, None)


def _collect(line: str, fields: dict[str, str]) -> None:
    name, _, value = line.partition(":")
    value = value.removeprefix(" ")
    if name == "data":
        fields["data"] = fields.get("data", "") + value + "\n"
    elif name:  # not a comment
        fields[name] = value

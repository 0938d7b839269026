"""What the clients of all transports have in common: they come back until they are told to stop."""

import asyncio
from random import Random

from tests.checker.ids import parse_id
from tests.checker.journal import Journal
from tests.checker.sending import is_end

PING_INTERVAL_S = 1.0
"""What the server is told."""

OPEN_TIMEOUT_S = 3.0
"""From connecting to the first word of the server."""

SILENCE_S = 2.5 * PING_INTERVAL_S
"""So long without a word makes a line count as dead."""

_BACKOFF_MAX_S = 0.3


class Finished(Exception):  # noqa: N818 - it is no error
    """The client has the last message."""


class LineError(Exception):
    """The connection is over, or is no use any more."""


class Client:
    """One client over one transport; `finished` is set when it has the last message of the run."""

    transport: str
    losses_within = False
    """Whether a poll's loss may lie between two messages of its answer, not only before them."""

    def __init__(self, client_id: str, token: str, pos: str, port: int, random: Random) -> None:
        """`port` is that of the client's gate; `pos` is the token's claim."""
        self.journal = Journal(client_id, self.transport, parse_id(pos))
        self.finished = asyncio.Event()
        self._token = token
        self._port = port
        self._random = random
        self._connections = 0

    async def run(self) -> None:
        """Connect, listen, come back; until it has the last message."""
        journal = self.journal
        while True:
            self._connections += 1
            journal.counts["connections"] += 1
            try:
                await self._listen()
                journal.note("the connection ended")
            except Finished:
                return
            except (LineError, OSError, EOFError, TimeoutError) as error:
                journal.note(f"the connection was lost: {type(error).__name__} {error}")
            except ValueError as error:
                journal.violate("protocol", f"it said what has no meaning: {error}")
            await asyncio.sleep(self._random.uniform(0, _BACKOFF_MAX_S))  # the client's backoff

    async def hang_up(self) -> None:
        """End the connection in the regular way, if there is one."""
        raise NotImplementedError

    async def _listen(self) -> None:
        """Connect once, and take what comes until the connection ends."""
        raise NotImplementedError

    @property
    def _query(self) -> str:
        """The place to begin at; an `open` may have been lost on its way, and what followed it."""
        if self.journal.opened:
            return f"?last_id={self.journal.last_id}"
        return f"?since={self.journal.last_id}" if self._connections > 1 else ""

    def _take(self, id_field: object, data: object, group: object) -> None:
        """Take a message of any transport; Finished with the last one."""
        if not isinstance(data, str) or not (group is None or isinstance(group, str)):
            raise ValueError(f"a message with data {data!r} and group {group!r}")
        if is_end(self.journal.message(id_field, data, group)):
            self.finished.set()
            raise Finished

    def _take_notice(self, notice: dict[str, object], *, resumed: bool) -> None:
        """Take what is said about the connection itself."""
        kind = notice.get("type")
        if kind == "open":
            self.journal.open(notice.get("id"), notice.get("recovered"), resumed=resumed)
            if notice.get("client_id") != self.journal.client_id:
                self.journal.violate("protocol", f"open is for {notice.get('client_id')!r}")
        elif kind == "ping":
            self.journal.ping(notice.get("id"))
        elif kind == "gap":
            self.journal.gap(notice.get("after"), notice.get("before"))
        elif kind == "reconnect":
            self.journal.counts["reconnect notices"] += 1
        elif kind == "close":
            self._take_close(notice.get("code"))
        else:
            raise ValueError(f"a notice {notice}")

    def _take_close(self, code: object) -> None:
        """Take the code with which the server ended the connection."""
        self.journal.counts[f"closed with {code}"] += 1
        self.journal.note(f"closed with {code}")
        if code not in (1000, 1001, 1006, 1012, 4008):
            self.journal.violate("protocol", f"closed with {code}")

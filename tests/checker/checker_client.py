"""The base class of the clients of all transports: they reconnect until the run has ended."""

import asyncio
from random import Random

from tests.checker.delivery_log import DeliveryLog
from tests.checker.message_generator import is_final
from tests.checker.message_id import parse_id

PING_INTERVAL_S = 1.0
"""The ping interval that the server is configured with."""

OPEN_TIMEOUT_S = 3.0
"""The longest time from connecting to the first data from the server."""

SILENCE_TIMEOUT_S = 2.5 * PING_INTERVAL_S
"""A connection is considered dead after this time without data."""

_BACKOFF_MAX_S = 0.3
_EXPECTED_CLOSE_CODES = (1000, 1001, 1006, 1012, 4008)


class FinalMessageReceived(Exception):  # noqa: N818 - not an error
    """The client has received a final message."""


class ConnectionLostError(Exception):
    """The connection has ended or is unusable."""


class CheckerClient:
    """One client with one transport. `finished` is set when it has received a final message."""

    transport: str
    gap_within_response = False
    """True if the gap of a poll response may be between its messages, not only before them."""

    def __init__(self, client_id: str, token: str, pos: str, port: int, random: Random) -> None:
        """`port` is the port of the client's proxy, and `pos` the claim of its token."""
        self.log = DeliveryLog(client_id, self.transport, parse_id(pos))
        self.finished = asyncio.Event()
        self._token = token
        self._port = port
        self._random = random
        self._connections = 0

    async def run(self) -> None:
        """Connect, receive and reconnect until a final message has been received."""
        log = self.log
        while True:
            self._connections += 1
            log.counts["connections"] += 1
            try:
                await self._receive_once()
                log.add_trace("the connection ended")
            except FinalMessageReceived:
                return
            except (ConnectionLostError, OSError, EOFError, TimeoutError) as error:
                log.add_trace(f"the connection was lost: {type(error).__name__} {error}")
            except ValueError as error:
                log.add_violation("protocol", f"invalid data from the server: {error}")
            await asyncio.sleep(self._random.uniform(0, _BACKOFF_MAX_S))  # the client's backoff

    async def hang_up(self) -> None:
        """Close the connection normally, if there is one."""
        raise NotImplementedError

    async def _receive_once(self) -> None:
        """Connect once, and receive until the connection ends."""
        raise NotImplementedError

    @property
    def _query(self) -> str:
        """The query that names the position.

        Before the first `open` it is `since`: an earlier connection may have been served, and its
        `open` and all that followed lost.
        """
        if self.log.opened:
            return f"?last_id={self.log.last_id}"
        return f"?since={self.log.last_id}" if self._connections > 1 else ""

    def _add_message(self, id_field: object, data: object, group: object) -> None:
        """Log a message. Raise FinalMessageReceived after a final one."""
        if not isinstance(data, str) or not (group is None or isinstance(group, str)):
            raise ValueError(f"a message with data {data!r} and group {group!r}")
        if is_final(self.log.add_message(id_field, data, group)):
            self.finished.set()
            raise FinalMessageReceived

    def _add_control(self, control: dict[str, object], *, resumed: bool) -> None:
        """Log a control message; `resumed` is true if the connection sent a last ID."""
        kind = control.get("type")
        if kind == "open":
            self.log.add_open(control.get("id"), control.get("recovered"), resumed=resumed)
            if control.get("client_id") != self.log.client_id:
                text = f"open has the client ID {control.get('client_id')!r}"
                self.log.add_violation("protocol", text)
        elif kind == "ping":
            self.log.add_ping(control.get("id"))
        elif kind == "gap":
            self.log.add_gap(control.get("after"), control.get("before"))
        elif kind == "reconnect":
            self.log.counts["reconnect requests"] += 1
        elif kind == "close":
            self._add_close(control.get("code"))
        else:
            raise ValueError(f"an unknown control message {control}")

    def _add_close(self, code: object) -> None:
        """Log the close code that the server sent."""
        self.log.counts[f"closed with {code}"] += 1
        self.log.add_trace(f"closed with {code}")
        if code not in _EXPECTED_CLOSE_CODES:
            self.log.add_violation("protocol", f"closed with {code}")

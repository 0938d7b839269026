"""Update-messages: what a client sends goes to other clients, or to the application.

A message is relayed if the token's `send` claim covers its target. All others go to the
application, which decides what to do with them.
"""

from collections.abc import Awaitable, Iterable
from typing import Final, Protocol

from headrace.auth.grants import covers
from headrace.auth.rate_limiter import RateLimiter
from headrace.auth.tokens import Claims
from headrace.errors import ForbiddenError, InputError, RateLimitedError
from headrace.hub.application import Application, UpdateMessage
from headrace.hub.core import Clocks
from headrace.messages.entries import Entry, Receipt
from headrace.messages.validation import check_data, check_entry, utf8_size
from headrace.settings import Settings

MESSAGES_PER_S: Final = 100.0
MESSAGES_BURST: Final = 200
"""The rate limit of one client, in messages."""

DATA_BYTES_PER_S: Final = 256 * 1024
DATA_BURST_BYTES: Final = 1024 * 1024
"""The rate limit of one client, in bytes of data: every byte is kept in the history for a while."""

TARGETS_MAX_COUNT: Final = 100
"""The clients that one message may name; each is compared with the token's grants."""


class Send(Protocol):
    """`Hub.send`, as far as it is used here."""

    def __call__(self, data: str, *, to: Iterable[str], group: str | None) -> Awaitable[Receipt]:
        """Send a message."""


class ClientMessages:
    """Handles the update-messages of one hub's clients."""

    def __init__(
        self, settings: Settings, clocks: Clocks, application: Application | None, send: Send
    ) -> None:
        self._settings = settings
        self._monotonic = clocks.monotonic
        self._application = application
        self._send = send
        self._rate = RateLimiter(MESSAGES_PER_S, MESSAGES_BURST)
        self._data_rate = RateLimiter(DATA_BYTES_PER_S, DATA_BURST_BYTES)

    async def handle(
        self, claims: Claims, data: str, *, to: str | Iterable[str], group: str | None
    ) -> Receipt | None:
        """Relay a message and return its receipt, or give it to the application and return None.

        Raises InputError or TooLargeError for a message that cannot be sent, ForbiddenError if the
        claims do not cover the target and there is no application, RateLimitedError for a client
        that sends too often, UnavailableError if the application cannot take the message now.
        """
        self._check_rates(claims.sub, data)
        targets = (to,) if isinstance(to, str) else tuple(to)
        if len(targets) > TARGETS_MAX_COUNT:
            raise InputError(
                f'"to" names {len(targets)} clients; a client may send to {TARGETS_MAX_COUNT} at a'
                " time: use a group"
            )
        entry = Entry(data=data, to=targets, group=group)
        has_target = bool(targets) or group is not None
        if covers(claims.send, entry):
            return await self._send(data, to=targets, group=group)
        if self._application is None:
            target = "its target" if has_target else "a message without a target"
            raise ForbiddenError(
                f"the token's `send` claim does not cover {target}, and no application is set"
            )
        if has_target:
            check_entry(
                entry,
                message_max_bytes=self._settings.message_max_bytes,
                client_id_max_bytes=self._settings.client_id_max_bytes,
            )
        else:
            check_data(data, self._settings.message_max_bytes)
        await self._application.receive(UpdateMessage(claims.sub, data, targets, group))
        return None

    def expire(self) -> None:
        """Forget the clients that have not sent for a while; to be called now and then."""
        now = self._monotonic()
        self._rate.expire(now)
        self._data_rate.expire(now)

    def _check_rates(self, client_id: str, data: str) -> None:
        """Count a message; raise RateLimitedError, and count nothing, if it is one too many."""
        now = self._monotonic()
        size_bytes = min(utf8_size("data", data), self._settings.message_max_bytes)
        wait_s = self._data_rate.wait_s(client_id, now, size_bytes)
        if wait_s:
            raise RateLimitedError(
                f"a client may send {DATA_BYTES_PER_S // 1024} KiB of data a second; wait as long"
                " as Retry-After says",
                wait_s,
            )
        wait_s = self._rate.acquire(client_id, now)
        if wait_s:
            raise RateLimitedError(
                f"a client may send {MESSAGES_PER_S:g} messages a second; wait as long as"
                " Retry-After says",
                wait_s,
            )
        self._data_rate.acquire(client_id, now, size_bytes)

"""Sends presence notices and update-messages to an application at `app_url`."""

import asyncio
import contextlib
import random
import secrets as randomness
from collections.abc import Iterable
from enum import Enum
from typing import Final
from urllib.parse import urlencode

from headrace.errors import ConfigError, UnavailableError
from headrace.hooks.client_queue import PresenceNotice
from headrace.hooks.failure_log import FailureLog
from headrace.hooks.message_sender import CONCURRENT_MESSAGES, MessageSender
from headrace.hooks.outbox import DropReason, Outbox
from headrace.hooks.signing import Signer
from headrace.hooks.webhook_client import TIMED_OUT, DeliveryFailure, FailureKind, WebhookClient
from headrace.hub.application import DeliveryStats, UpdateMessage
from headrace.hub.presence import PresenceChange
from headrace.settings import Settings

CONCURRENT_NOTICES = 16
"""The most presence notices that are in flight at the same time."""

ATTEMPT_TIMEOUT_S = 10.0
"""How long the application may take to respond; for an update-message its queueing counts too."""

NOTICE_INTERVAL_S = 0.002
"""Between the starts of two notices: one costs 1 ms, and half the loop's time is for clients."""

DRAIN_IDLE_S = 5.0
DRAIN_MAX_S = 60.0
"""`aclose` gives up after so long without a success, and after so long in any case."""

DRAIN_REJECTED_S = 1.0
"""As `DRAIN_IDLE_S`, if the application has rejected a notice of each client that is left."""

_DEFAULT_MAX_ATTEMPTS: Final = Settings().notice_max_attempts

_CONNECTED_PATH: Final = "/_ah/channel/connected/"
_DISCONNECTED_PATH: Final = "/_ah/channel/disconnected/"
_FORM: Final = "application/x-www-form-urlencoded"

_CANCELLED: Final = DeliveryFailure(FailureKind.UNREACHABLE, "the attempt was cancelled")


class WebhooksState(Enum):
    """The life cycle of `Webhooks`; see its table."""

    OPEN = "open"
    DRAINING = "draining"
    CLOSED = "closed"


class Webhooks:
    """An `Application` that is reached at `app_url`.

    The notices of one client are sent in order; an update-message is tried once. The response to
    a notice decides what happens to it:

        2xx                   delivered
        404, 405, 410, 501    counts as delivered: the application has no handler
        another status        retried, but dropped after `notice_max_attempts` such responses
        no response           retried without end

    It can be created without a running event loop.

        state      aclose()   end of draining   presence_changed()   receive()
        OPEN       DRAINING   -                 sent                 sent
        DRAINING   waits      CLOSED            sent                 UnavailableError
        CLOSED     returns    -                 ignored              UnavailableError
    """

    def __init__(
        self,
        app_url: str,
        secrets: Iterable[str],
        *,
        notice_max_attempts: int = _DEFAULT_MAX_ATTEMPTS,
    ) -> None:
        """Sign with all `secrets`; raise ConfigError for a value that cannot be used."""
        if notice_max_attempts < 1:
            raise ConfigError(
                f"notice_max_attempts is {notice_max_attempts}; it must be at least 1"
            )
        self.delivered = 0
        self._state = WebhooksState.OPEN
        self._closed = asyncio.Event()
        self._max_attempts = notice_max_attempts
        self._outbox = Outbox(random.random, notice_max_attempts)
        self._id_prefix = f"msg_{randomness.token_hex(8)}"  # ids are unique over restarts too
        self._client = WebhookClient(app_url, secrets, CONCURRENT_NOTICES + CONCURRENT_MESSAGES)
        self._notice_tasks: set[asyncio.Task[None]] = set()
        self._wakeup: asyncio.Handle | None = None  # runs `_send_next` in the loop's next tick
        self._timer: asyncio.TimerHandle | None = None  # makes a wake-up when a notice is due
        self._next_start_at = 0.0  # of a notice; see NOTICE_INTERVAL_S
        self._progress = asyncio.Event()  # see `_drain`
        self._log = FailureLog()
        self._messages = MessageSender(
            self._client, self._outbox, self._log, self._id_prefix, self._message_ended
        )

    @property
    def pending(self) -> int:
        """The number of notices that the application has not taken yet."""
        return len(self._outbox)

    def delivery_stats(self) -> DeliveryStats:
        """Return the numbers of notices for the metrics."""
        dropped = {reason.value: self._outbox.dropped[reason] for reason in DropReason}
        return DeliveryStats(self.pending, self.delivered, dropped)

    @property
    def _is_open(self) -> bool:
        return self._state is WebhooksState.OPEN

    def use_secrets(self, secrets: Iterable[str]) -> None:
        """Sign with these secrets from now on."""
        self._client.signer = Signer(secrets)

    # --- Application ---------------------------------------------------------------------------

    def presence_changed(self, change: PresenceChange) -> None:
        """Queue a notice."""
        if self._state is WebhooksState.CLOSED:
            return
        self._outbox.enqueue(change)
        self._log.overflowed(self._outbox.dropped[DropReason.OVERFLOW], self.pending)
        self._schedule()

    async def receive(self, message: UpdateMessage) -> None:
        """Send an update-message, after the client's notices and its earlier messages.

        Raise ForbiddenError if the application has no handler for it, UnavailableError unless the
        application responds with 2xx in `ATTEMPT_TIMEOUT_S`.
        """
        if not self._is_open:
            raise UnavailableError("the server is shutting down; try again later")
        self._schedule()  # for the next tick of the loop, when the outbox has the message
        await self._messages.send(message, ATTEMPT_TIMEOUT_S)

    async def aclose(self) -> None:
        """Send what is pending while the application accepts it, then close the connections.

        Gives up after `DRAIN_IDLE_S` without a success, after `DRAIN_REJECTED_S` if all clients
        that are left were rejected, or after `DRAIN_MAX_S`. Logs how many notices are lost.
        """
        if not self._is_open:
            await self._closed.wait()
            return
        self._state = WebhooksState.DRAINING
        try:
            await self._drain()
        finally:
            self._state = WebhooksState.CLOSED
            try:
                await self._stop()
            finally:
                self._closed.set()

    async def _drain(self) -> None:
        """Wait until nothing is pending, or until no progress is made.

        Progress is a notice that was delivered or a message that has ended, not a response that
        rejects a notice: otherwise a client whose notices fail would delay the shutdown.
        """
        self._outbox.retry_all()
        self._schedule()
        idle_s = 0.0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_MAX_S):
                while self.pending or self._messages:
                    if idle_s >= DRAIN_IDLE_S or (idle_s and self._outbox.is_all_rejected):
                        return
                    self._progress.clear()
                    try:
                        async with asyncio.timeout(DRAIN_REJECTED_S):
                            await self._progress.wait()
                        idle_s = 0.0
                    except TimeoutError:
                        idle_s += DRAIN_REJECTED_S

    async def _stop(self) -> None:
        self._log.lost(self.pending)
        for handle in (self._wakeup, self._timer):
            if handle is not None:
                handle.cancel()
        for task in self._notice_tasks:
            task.cancel()
        await asyncio.gather(*self._notice_tasks, return_exceptions=True)
        await self._messages.aclose()
        await self._client.aclose()

    # --- notices -------------------------------------------------------------------------------

    def _schedule(self) -> None:
        if self._wakeup is None and self._state is not WebhooksState.CLOSED:
            self._wakeup = asyncio.get_running_loop().call_soon(self._send_next)

    def _send_next(self) -> None:
        """Start one attempt; the next one starts later, so that clients are served in between."""
        self._wakeup = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if len(self._notice_tasks) >= CONCURRENT_NOTICES:
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now >= self._next_start_at and (notice := self._outbox.next_notice(now)) is not None:
            self._next_start_at = now + (NOTICE_INTERVAL_S if self._is_open else 0)
            task = loop.create_task(self._deliver(notice))
            self._notice_tasks.add(task)
            task.add_done_callback(self._attempt_ended)
        at = self._outbox.next_attempt_at(now)
        if at is not None:
            self._timer = loop.call_at(max(at, self._next_start_at), self._schedule)

    def _attempt_ended(self, task: asyncio.Task[None]) -> None:
        self._notice_tasks.discard(task)
        self._schedule()

    async def _deliver(self, notice: PresenceNotice) -> None:
        path = _CONNECTED_PATH if notice.connected else _DISCONNECTED_PATH
        body = urlencode({"from": notice.queue.client_id}).encode()
        webhook_id = f"{self._id_prefix}n{notice.number}"
        failure: DeliveryFailure | None = _CANCELLED
        try:
            async with asyncio.timeout(ATTEMPT_TIMEOUT_S):
                failure = await self._client.post(path, _FORM, webhook_id, body)
        except TimeoutError:
            failure = TIMED_OUT
        finally:  # also after an unexpected exception: without it the client's queue would stop
            self._notice_ended(notice, path, failure)

    def _notice_ended(
        self, notice: PresenceNotice, path: str, failure: DeliveryFailure | None
    ) -> None:
        now = asyncio.get_running_loop().time()
        if failure is None or failure.kind is FailureKind.NO_HANDLER:
            if failure is not None:
                self._log.no_handler(path, failure)
            self.delivered += 1
            self._outbox.delivered(notice)
            self._progress.set()
        elif failure.kind is FailureKind.REJECTED:
            if self._outbox.rejected(notice, now, failure.retry_after_s):
                dropped = self._outbox.dropped[DropReason.REJECTED]
                self._log.gave_up(dropped, self._max_attempts, failure)
            elif notice.rejections == 1:
                self._log.rejected(path, failure)
        else:
            self._outbox.unreachable(notice, now)
            if self._state is not WebhooksState.CLOSED:
                self._log.unreachable(path, failure, notice)
        if failure is None or failure.is_response:
            self._log.responded(self.pending)
        if not self.pending:
            self._progress.set()

    def _message_ended(self) -> None:
        self._progress.set()
        self._schedule()

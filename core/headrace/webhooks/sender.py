"""Sends what the outbox gives, and the update-messages whose turn it says has come."""

import asyncio
import contextlib
import logging
import random
import secrets as randomness
from collections import Counter
from collections.abc import Iterable
from urllib.parse import urlencode

import msgspec

from headrace import limits
from headrace.application import UpdateMessage
from headrace.errors import RequestError
from headrace.presence import Change
from headrace.webhooks.lanes import Notice
from headrace.webhooks.outbox import Outbox
from headrace.webhooks.post import Fault, Poster
from headrace.webhooks.signing import Signer

_log = logging.getLogger("headrace")
_to_json = msgspec.json.Encoder().encode

_CONNECTED = "/_ah/channel/connected/"
_DISCONNECTED = "/_ah/channel/disconnected/"
_MESSAGE = "/_ah/channel/message/"
_FORM = "application/x-www-form-urlencoded"
_JSON = "application/json"
_MESSAGES_AT_A_TIME = 64
_TOO_SLOW = Fault("it does not answer in time")
_NOTICE_FIRST = Fault("the client's presence notice comes before it, and was not taken")
_NO_TURN = Fault("the client's earlier messages have taken all the time")
_NOT_ITS_OWN = (_NOTICE_FIRST, _NO_TURN)  # not logged: what comes before it tells of itself
_CUT_SHORT = Fault("the attempt was cut short")


class Webhooks:
    """An `Application` that is reached at `app_url`.

    Notices go out one after the other for each client and are repeated until the application
    answers 2xx; update-messages are tried once. Made and used within a running event loop.
    """

    def __init__(self, app_url: str, secrets: Iterable[str]) -> None:
        """ConfigError for a URL that cannot be used. All `secrets` sign, the first one first."""
        self.delivered = 0
        self._loop = asyncio.get_running_loop()
        self._outbox = Outbox(random.random)
        # An id is never used again, also by the next process.
        self._id_prefix = f"msg_{randomness.token_hex(8)}"
        self._poster = Poster(app_url, secrets, limits.NOTICES_AT_A_TIME + _MESSAGES_AT_A_TIME)
        self._tasks: set[asyncio.Task[None]] = set()
        self._message_slots = asyncio.Semaphore(_MESSAGES_AT_A_TIME)
        self._messages: dict[asyncio.Task[Fault | None], None] = {}
        self._messages_bytes = 0
        self._bytes_of: Counter[str] = Counter()  # by sender, so that none takes all the room
        self._message_number = 0
        self._timer: asyncio.TimerHandle | None = None
        self._scheduled = False
        self._next_at = 0.0  # when the next notice may begin
        self._closing = False
        self._succeeded = asyncio.Event()  # or a message was refused, which is none to wait for
        self._told_faults: set[str] = set()  # since the application last answered
        self._tell_dropped_at = 1

    @property
    def waiting(self) -> int:
        """How many notices the application has not taken yet."""
        return len(self._outbox)

    @property
    def dropped(self) -> int:
        """How many notices were dropped because too many waited."""
        return self._outbox.dropped

    # --- the Application -----------------------------------------------------------------------

    def presence_changed(self, change: Change) -> None:
        """Queue a notice."""
        self._outbox.put(change)
        if self._outbox.dropped >= self._tell_dropped_at:
            self._tell_dropped_at = self._outbox.dropped * 2
            _log.warning(
                "%d presence notices wait for the application; of the older ones %d were dropped",
                len(self._outbox),
                self._outbox.dropped,
            )
        self._schedule()

    async def receive(self, message: UpdateMessage) -> None:
        """Send an update-message, behind the client's notices and its earlier messages.

        RequestError (503) unless the application answers 2xx within `limits.NOTICE_TIMEOUT_S`.
        """
        body = _to_json(_fields(message))
        if (
            self._closing
            or self._messages_bytes + len(body) > limits.MESSAGES_WAITING_MAX_BYTES
            or self._bytes_of[message.sender] > limits.MESSAGES_WAITING_OF_ONE_MAX_BYTES
        ):
            raise _unavailable("takes no message now: too many wait for it")
        may_go: asyncio.Future[bool] = self._loop.create_future()
        turn = self._outbox.queue(message.sender, lambda may: _settle(may_go, may))
        self._schedule()
        # A task of its own, because who calls may not be one.
        sending = self._loop.create_task(self._send(may_go, body))
        self._messages[sending] = None
        self._messages_bytes += len(body)
        self._bytes_of[message.sender] += len(body)
        try:
            fault = await sending
        except asyncio.CancelledError:
            if not self._closing:
                raise
            raise _unavailable("was not reached before the server ended") from None
        finally:
            self._outbox.done(turn)
            del self._messages[sending]
            self._messages_bytes -= len(body)
            self._bytes_of[message.sender] -= len(body)
            if not self._bytes_of[message.sender]:
                del self._bytes_of[message.sender]
            self._succeeded.set()
            self._schedule()
        if fault is not None:
            if fault not in _NOT_ITS_OWN:
                self._complain(_MESSAGE, fault)
            raise _unavailable("does not take messages now")
        self._answers()

    def use_secrets(self, secrets: Iterable[str]) -> None:
        """Sign with these from now on."""
        self._poster.signer = Signer(secrets)

    async def aclose(self) -> None:
        """Send what waits, for as long as the application takes it; say how much is left.

        It ends after `limits.NOTICES_DRAIN_S` without a success, and `limits.NOTICES_DRAIN_MAX_S`.
        """
        self._closing = True
        self._outbox.wake()
        self._schedule()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limits.NOTICES_DRAIN_MAX_S):
                while len(self._outbox) or self._messages:
                    self._succeeded.clear()
                    async with asyncio.timeout(limits.NOTICES_DRAIN_S):
                        await self._succeeded.wait()
        if left := len(self._outbox):
            _log.warning("%d presence notices are lost: the application did not take them", left)
        self._scheduled = True  # for good
        if self._timer is not None:
            self._timer.cancel()
        left_over = [*self._tasks, *self._messages]
        for task in left_over:
            task.cancel()
        await asyncio.gather(*left_over, return_exceptions=True)
        await self._poster.aclose()

    # --- notices -------------------------------------------------------------------------------

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._begin_one)

    def _begin_one(self) -> None:
        """Send one notice; the next one a little later, so that channels are served in between."""
        self._scheduled = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if len(self._tasks) >= limits.NOTICES_AT_A_TIME:
            return
        now = self._loop.time()
        if now >= self._next_at and (notice := self._outbox.next(now)) is not None:
            self._next_at = now + (0 if self._closing else limits.NOTICE_GAP_S)
            task = self._loop.create_task(self._deliver(notice))
            self._tasks.add(task)
            task.add_done_callback(self._end_one)
        at = self._outbox.next_at(now)
        if at is not None:
            self._timer = self._loop.call_at(max(at, self._next_at), self._schedule)

    def _end_one(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._schedule()

    async def _deliver(self, notice: Notice) -> None:
        path = _CONNECTED if notice.connected else _DISCONNECTED
        body = urlencode({"from": notice.lane.client_id}).encode()
        webhook_id = f"{self._id_prefix}n{notice.number}"
        fault: Fault | None = _CUT_SHORT
        try:
            async with asyncio.timeout(limits.NOTICE_TIMEOUT_S):
                fault = await self._poster.post(path, _FORM, webhook_id, body)
        except TimeoutError:
            fault = _TOO_SLOW
        finally:  # whatever happens, its lane goes on
            if fault is None:
                self.delivered += 1
                self._outbox.taken(notice)
                self._succeeded.set()
                self._answers()
            else:
                self._complain(path, fault, notice)
                self._outbox.failed(notice, self._loop.time(), fault.at_least_s)

    # --- update-messages -----------------------------------------------------------------------

    async def _send(self, may_go: asyncio.Future[bool], body: bytes) -> Fault | None:
        """Make one attempt when the client's turn has come; return why it failed, if it did."""
        self._message_number += 1
        webhook_id = f"{self._id_prefix}m{self._message_number}"
        try:
            async with asyncio.timeout(limits.NOTICE_TIMEOUT_S):
                if not await may_go:
                    return _NOTICE_FIRST
                async with self._message_slots:
                    return await self._poster.post(_MESSAGE, _JSON, webhook_id, body)
        except TimeoutError:
            return _NO_TURN if may_go.cancelled() else _TOO_SLOW

    # --- both ----------------------------------------------------------------------------------

    def _answers(self) -> None:
        """Take note that the application has taken something."""
        self._outbox.succeeded()
        if self._told_faults:
            self._told_faults.clear()
            _log.warning("the application answers again; %d notices wait", len(self._outbox))
            self._schedule()

    def _complain(self, path: str, fault: Fault, notice: Notice | None = None) -> None:
        """Log a fault once in a row of failures, the client's own and the application's."""
        told = fault.text in self._told_faults or (notice is not None and notice.lane.told)
        if notice is not None:
            notice.lane.told = True
        if told or self._closing:
            return
        self._told_faults.add(fault.text)
        what = "is dropped, its sender is told" if notice is None else "will be repeated"
        _log.warning(
            "the application has not taken a POST to %s, which %s: %s", path, what, fault.text
        )


def _fields(message: UpdateMessage) -> dict[str, object]:
    """Return an update-message's JSON, with `to` as its sender most likely wrote it."""
    fields: dict[str, object] = {"from": message.sender, "data": message.data}
    if message.to:
        fields["to"] = message.to[0] if len(message.to) == 1 else message.to
    if message.group is not None:
        fields["group"] = message.group
    return fields


def _settle(future: asyncio.Future[bool], value: bool) -> None:
    if not future.done():  # who has asked may be gone
        future.set_result(value)


def _unavailable(text: str) -> RequestError:
    retry_after = (("retry-after", str(limits.RETRY_AFTER_S)),)
    return RequestError(503, f"the application {text}; try again later", retry_after)

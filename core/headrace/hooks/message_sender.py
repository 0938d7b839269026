"""Sends update-messages to the application: one attempt each, while the sender waits."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec

from headrace.errors import ForbiddenError, UnavailableError
from headrace.hooks.failure_log import FailureLog
from headrace.hooks.outbox import Outbox
from headrace.hooks.webhook_client import TIMED_OUT, DeliveryFailure, FailureKind, WebhookClient
from headrace.hub.application import UpdateMessage

CONCURRENT_MESSAGES = 64
"""The most update-messages that are in flight at the same time."""

MESSAGES_MAX_BYTES = 16 * 1024 * 1024
MESSAGES_PER_CLIENT_MAX_BYTES = 1024 * 1024
"""Update-messages that wait for a response, of all clients and of one; over it UnavailableError."""

_PATH: Final = "/_ah/channel/message/"
_JSON: Final = "application/json"

_NOTICE_FAILED: Final = DeliveryFailure(
    FailureKind.NOT_SENT, "the client's presence notice before it failed"
)
_QUEUED_TOO_LONG: Final = DeliveryFailure(
    FailureKind.NOT_SENT, "the client's earlier entries took all the time"
)

_to_json = msgspec.json.Encoder().encode


class MessageSender:
    """The update-messages of all clients.

    The outbox determines their order. `on_end` is called whenever a message has ended, so that the
    next entry of its client can be sent.
    """

    def __init__(
        self,
        client: WebhookClient,
        outbox: Outbox,
        log: FailureLog,
        id_prefix: str,
        on_end: Callable[[], None],
    ) -> None:
        self._client = client
        self._outbox = outbox
        self._log = log
        self._id_prefix = id_prefix
        self._on_end = on_end
        self._is_closed = False
        self._tasks: set[asyncio.Task[DeliveryFailure | None]] = set()
        self._slots = asyncio.Semaphore(CONCURRENT_MESSAGES)
        self._last_number = 0
        self._bytes = 0
        self._bytes_of: Counter[str] = Counter()  # by sender

    def __len__(self) -> int:
        """Return the number of messages whose senders wait."""
        return len(self._tasks)

    async def send(self, message: UpdateMessage, timeout_s: float) -> None:
        """Send a message after its client's notices and earlier messages.

        Raise ForbiddenError if the application has no handler for messages, UnavailableError unless
        it responds with 2xx in `timeout_s`, which includes the time in the queue.
        """
        body = _to_json(_fields(message))
        self._check_room(message.sender, len(body))
        loop = asyncio.get_running_loop()
        may_send: asyncio.Future[bool] = loop.create_future()
        call = self._outbox.enqueue_call(
            message.sender, lambda allowed: _set_result(may_send, allowed)
        )
        # `asyncio.timeout` needs a task, and the caller may be a coroutine that runs without one.
        task = loop.create_task(self._send(may_send, body, timeout_s))
        self._tasks.add(task)
        self._bytes += len(body)
        self._bytes_of[message.sender] += len(body)
        try:
            failure = await task
        except asyncio.CancelledError:
            if not self._is_closed:
                raise
            raise UnavailableError(
                "the server shut down before the application responded; try again later"
            ) from None
        finally:
            self._outbox.finish_call(call)
            self._tasks.remove(task)
            self._bytes -= len(body)
            self._bytes_of[message.sender] -= len(body)
            if not self._bytes_of[message.sender]:
                del self._bytes_of[message.sender]
            self._on_end()
        self._check_outcome(failure)

    async def aclose(self) -> None:
        """Cancel all requests; their senders get UnavailableError."""
        self._is_closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _check_room(self, sender: str, size_bytes: int) -> None:
        if self._bytes + size_bytes > MESSAGES_MAX_BYTES:
            raise UnavailableError(
                f"messages for the application take up {self._bytes} bytes; at most"
                f" {MESSAGES_MAX_BYTES} may wait: try again later"
            )
        sender_bytes = self._bytes_of[sender]
        if sender_bytes > MESSAGES_PER_CLIENT_MAX_BYTES:
            raise UnavailableError(
                f"the client's messages for the application take up {sender_bytes} bytes; over"
                f" {MESSAGES_PER_CLIENT_MAX_BYTES} it must wait: try again later"
            )

    async def _send(
        self, may_send: asyncio.Future[bool], body: bytes, timeout_s: float
    ) -> DeliveryFailure | None:
        """Make one attempt when the client's queue allows it; return why it failed, or None."""
        self._last_number += 1
        webhook_id = f"{self._id_prefix}m{self._last_number}"
        try:
            async with asyncio.timeout(timeout_s):
                if not await may_send:
                    return _NOTICE_FAILED
                async with self._slots:
                    return await self._client.post(_PATH, _JSON, webhook_id, body)
        except TimeoutError:
            return _QUEUED_TOO_LONG if may_send.cancelled() else TIMED_OUT

    def _check_outcome(self, failure: DeliveryFailure | None) -> None:
        """Raise the error for the message's sender, if any."""
        if failure is None or failure.is_response:
            self._outbox.application_responded()
            self._log.responded(len(self._outbox))
        if failure is None:
            return
        if failure.kind is FailureKind.NO_HANDLER:
            self._log.no_handler(_PATH, failure)
            raise ForbiddenError(f"the application takes no messages: {failure.reason}")
        if failure.kind is FailureKind.REJECTED:
            self._log.rejected(_PATH, failure)
        elif failure.kind is FailureKind.UNREACHABLE:
            self._log.unreachable(_PATH, failure)
        raise UnavailableError("the application does not accept messages now; try again later")


def _fields(message: UpdateMessage) -> dict[str, object]:
    """Return an update-message's JSON fields; a single target is a string, several are a list."""
    fields: dict[str, object] = {"from": message.sender, "data": message.data}
    if message.to:
        fields["to"] = message.to[0] if len(message.to) == 1 else message.to
    if message.group is not None:
        fields["group"] = message.group
    return fields


def _set_result(future: asyncio.Future[bool], value: bool) -> None:
    if not future.done():  # the sender may have been cancelled
        future.set_result(value)

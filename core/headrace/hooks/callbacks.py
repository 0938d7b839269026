"""An application in the same process, given as three functions."""

import asyncio
import contextlib
import inspect
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from headrace.errors import (
    ForbiddenError,
    HeadraceError,
    InputError,
    RateLimitedError,
    RequestError,
    UnavailableError,
)
from headrace.hub.application import UpdateMessage
from headrace.hub.presence import PresenceChange

DRAIN_S = 5.0
"""How long `aclose` waits for the calls that are running or queued."""

_RESPONSE_ERRORS: Final = (
    InputError,
    ForbiddenError,
    RateLimitedError,
    UnavailableError,
    RequestError,
)

_log = logging.getLogger("headrace")


class Callbacks:
    """An `Application` made of functions, plain ones or coroutine functions.

        hub = Hub(settings, Callbacks(connected=on_connected, message=on_message))

    The calls for one client are made one at a time, in the order of the events; calls for different
    clients run concurrently. No function is called while a message is being delivered, but a plain
    function runs in the event loop and must not block it.

    A `message` function chooses the response to the sender by raising InputError, TooLargeError,
    ForbiddenError, RateLimitedError, UnavailableError or RequestError. Any other exception, and any
    exception of the other two functions, is logged; a sender then gets UnavailableError.

    It can be created without a running event loop.
    """

    def __init__(
        self,
        *,
        connected: Callable[[str], object] | None = None,
        disconnected: Callable[[str], object] | None = None,
        message: Callable[[UpdateMessage], object] | None = None,
    ) -> None:
        """Set the functions: `connected` and `disconnected` get a client ID.

        Without `message`, update-messages that no `send` claim covers raise ForbiddenError.
        """
        self._connected = connected
        self._disconnected = disconnected
        self._message = message
        self._queues: dict[str, deque[_Call]] = {}  # by client ID; the first call is running
        self._tasks: set[asyncio.Task[None]] = set()

    def presence_changed(self, change: PresenceChange) -> None:
        """Queue a call of `connected` or `disconnected`."""
        function = self._connected if change.connected else self._disconnected
        if function is not None:
            self._enqueue(change.client_id, _Call(function, change.client_id, None))

    async def receive(self, message: UpdateMessage) -> None:
        """Call `message` and wait for its end; raise what its exception stands for."""
        if self._message is None:
            raise ForbiddenError("the token's `send` claim does not cover the message's target")
        outcome: asyncio.Future[HeadraceError | None] = asyncio.get_running_loop().create_future()
        self._enqueue(message.sender, _Call(self._message, message, outcome))
        error = await outcome
        if error is not None:
            raise error

    async def aclose(self) -> None:
        """Wait until all calls have ended, for at most `DRAIN_S`, then cancel the others."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while self._tasks:
                    await asyncio.wait(self._tasks)
        if unfinished := sum(map(len, self._queues.values())):
            _log.warning("%d callbacks did not finish before the shutdown", unfinished)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _enqueue(self, client_id: str, call: "_Call") -> None:
        queue = self._queues.get(client_id)
        if queue is not None:
            queue.append(call)
            return
        queue = self._queues[client_id] = deque([call])
        task = asyncio.get_running_loop().create_task(self._run(client_id, queue))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, client_id: str, queue: "deque[_Call]") -> None:
        """Make the calls of one client until its queue is empty."""
        try:
            while queue:
                queue[0].set_outcome(await _make(queue[0]))
                queue.popleft()
        finally:
            del self._queues[client_id]
            for call in queue:
                call.set_outcome(_call_failed())


class _Call(NamedTuple):
    """A call to make; the sender of a message waits for its `outcome`."""

    function: Callable[[Any], object]
    argument: str | UpdateMessage
    outcome: asyncio.Future[HeadraceError | None] | None

    def set_outcome(self, error: HeadraceError | None) -> None:
        """Pass the outcome to the sender; None means success."""
        if self.outcome is not None and not self.outcome.done():  # it may have been cancelled
            self.outcome.set_result(error)


async def _make(call: _Call) -> HeadraceError | None:
    """Make a call; return the error for its sender, or None if it succeeded."""
    try:
        returned = call.function(call.argument)
        if inspect.isawaitable(returned):
            await returned
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():  # cancelled by `aclose`, not by the function
            raise
        _log.exception("a callback was cancelled")
    except Exception as error:  # noqa: BLE001 - the application's code may raise anything
        if call.outcome is not None and isinstance(error, _RESPONSE_ERRORS):
            return error
        _log.exception("a callback failed")
    else:
        return None
    return _call_failed()


def _call_failed() -> UnavailableError:
    return UnavailableError("the application failed to process the message; try again later")

"""The application's ears where it runs in the same process: three functions of its own."""

import asyncio
import contextlib
import inspect
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from headrace import limits
from headrace.application import UpdateMessage
from headrace.errors import RequestError
from headrace.presence import Change

_log = logging.getLogger("headrace")


class Callbacks:
    """An `Application` made of functions, plain ones or coroutine functions.

        server = Server(settings, application=Callbacks(connected=welcome, message=hear))

    For one client they are called one after the other, in the order in which things happened;
    clients do not wait for each other. Nothing is called while the server delivers: a plain
    function should be quick all the same, for it has the event loop to itself.

    An exception is logged. The sender of a message is then answered with 503; a `message` that
    raises RequestError chooses the answer itself.
    """

    def __init__(
        self,
        *,
        connected: Callable[[str], object] | None = None,
        disconnected: Callable[[str], object] | None = None,
        message: Callable[[UpdateMessage], object] | None = None,
    ) -> None:
        """Take functions: the first two get a client ID, `message` gets an update-message.

        Without `message`, what no token's `send` claim covers is answered with 403.
        """
        self._connected = connected
        self._disconnected = disconnected
        self._message = message
        self._lanes: dict[str, deque[_Call]] = {}  # what is still to be called, the current one too
        self._tasks: set[asyncio.Task[None]] = set()

    def presence_changed(self, change: Change) -> None:
        """Have `connected` or `disconnected` called."""
        function = self._connected if change.connected else self._disconnected
        if function is not None:
            self._queue(change.client_id, _Call(function, change.client_id, None))

    async def receive(self, message: UpdateMessage) -> None:
        """Have `message` called, and wait for its end; RequestError where it fails."""
        if self._message is None:
            raise RequestError(403, "the token's `send` claim does not cover the message's target")
        outcome: asyncio.Future[RequestError | None] = asyncio.get_running_loop().create_future()
        self._queue(message.sender, _Call(self._message, message, outcome))
        error = await outcome
        if error is not None:
            raise error

    async def aclose(self) -> None:
        """Wait for what is under way, for no longer than `limits.NOTICES_DRAIN_S`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limits.NOTICES_DRAIN_S):
                while self._tasks:
                    await asyncio.wait(self._tasks)
        if left := sum(map(len, self._lanes.values())):
            _log.warning("%d callbacks were cut short or never called: the server ends", left)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _queue(self, client_id: str, call: "_Call") -> None:
        lane = self._lanes.get(client_id)
        if lane is not None:
            lane.append(call)
            return
        lane = self._lanes[client_id] = deque([call])
        task = asyncio.get_running_loop().create_task(self._run(client_id, lane))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, client_id: str, lane: "deque[_Call]") -> None:
        """Make a client's calls until there is none left."""
        try:
            while lane:
                lane[0].settle(await _make(lane[0]))
                lane.popleft()
        finally:
            del self._lanes[client_id]
            for call in lane:
                call.settle(_failed())


class _Call(NamedTuple):
    """A call to be made; the sender of a message waits for its `outcome`."""

    function: Callable[[Any], object]
    argument: str | UpdateMessage
    outcome: asyncio.Future[RequestError | None] | None

    def settle(self, error: RequestError | None) -> None:
        """Say what the sender is to be told; None for a success."""
        if self.outcome is not None and not self.outcome.done():  # the sender may be gone
            self.outcome.set_result(error)


async def _make(call: _Call) -> RequestError | None:
    """Make a call; return what its sender is to be told where it failed."""
    try:
        returned = call.function(call.argument)
        if inspect.isawaitable(returned):
            await returned
    except RequestError as error:
        if call.outcome is not None:
            return error
        _log.exception("a callback failed")
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():  # the server ends
            raise
        _log.exception("a callback was cancelled")
    except Exception:  # noqa: BLE001 - the application's own code may raise anything
        _log.exception("a callback failed")
    else:
        return None
    return _failed()


def _failed() -> RequestError:
    retry_after = (("retry-after", str(limits.RETRY_AFTER_S)),)
    return RequestError(503, "the application failed on the message; try again later", retry_after)

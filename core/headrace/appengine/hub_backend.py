"""The hub in this process, for applications that run in the server's process."""

import asyncio
import concurrent.futures
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from headrace.api.hub import Hub
from headrace.appengine.backend import is_signed
from headrace.client.errors import HeadraceError, UnreachableError
from headrace.messages.entries import Receipt
from headrace.server.connections.run_eagerly import continue_in_task

TIMEOUT_S: Final = 10.0
"""How long another thread waits for the hub's event loop before it counts as blocked."""

_log = logging.getLogger("headrace")
_Result = TypeVar("_Result")
_sending: set[asyncio.Task[Receipt]] = set()  # an event loop keeps only weak references to tasks


class HubBackend:
    """A `Backend` that uses a running hub; calls may come from any thread.

    In the thread of the hub's event loop a call does not wait. From any other thread it waits until
    the event loop has done it.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def create_channel(self, client_id: str, minutes: int) -> str:
        """See `Backend`."""
        if self._is_loop_thread():
            return self._hub.create_channel(client_id, duration_minutes=minutes).token

        async def create() -> str:
            return self._hub.create_channel(client_id, duration_minutes=minutes).token

        return self._call_in_loop(create)

    def send(self, client_id: str, message: str) -> None:
        """See `Backend`."""
        if not self._is_loop_thread():
            self._call_in_loop(lambda: self._hub.send(message, to=client_id))
            return
        work = self._hub.send(message, to=client_id)
        try:
            awaited = work.send(None)  # so that errors in the arguments are raised here
        except StopIteration:
            return
        task = self._hub.loop.create_task(continue_in_task(work, awaited))
        _sending.add(task)
        task.add_done_callback(_sent)

    def recognises(self, token: str) -> bool:
        """See `Backend`."""
        return is_signed(self._hub.signer, token, self._hub.clocks.unix())

    def _is_loop_thread(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._hub.loop
        except RuntimeError:
            return False

    def _call_in_loop(self, work: Callable[[], Coroutine[Any, Any, _Result]]) -> _Result:
        """Run `work` in the hub's event loop and wait; raise UnreachableError if it does not."""
        coroutine = work()
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self._hub.loop)
        except RuntimeError:  # the event loop is closed
            coroutine.close()
            raise UnreachableError("the hub in this process has been closed") from None
        try:
            return future.result(TIMEOUT_S)
        except concurrent.futures.CancelledError:
            raise UnreachableError("the hub in this process has been closed") from None
        except TimeoutError:
            future.cancel()
            raise UnreachableError(
                f"the hub's event loop did not respond within {TIMEOUT_S:.0f} s; is it blocked?"
            ) from None


def _sent(task: asyncio.Task[Receipt]) -> None:
    _sending.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        # Nobody awaits the task. The texts of our own errors hold no data; others might.
        shown = error if isinstance(error, HeadraceError | OSError) else type(error).__name__
        _log.error("a message sent through headrace.appengine was not delivered: %s", shown)

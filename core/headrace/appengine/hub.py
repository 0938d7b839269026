"""The hub in this process, for applications that run where the server runs."""

import asyncio
import concurrent.futures
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from headrace.api.node import Node
from headrace.api.send import entry_of
from headrace.appengine.backend import is_signed
from headrace.client.errors import HeadraceError, UnreachableError

HUB_TIMEOUT_S = 10.0
"""How long another thread waits for the server's loop; over it the loop is blocked or has ended."""

_log = logging.getLogger("headrace")
_Result = TypeVar("_Result")
_sending: set[asyncio.Task[None]] = set()  # a loop keeps only weak references to its tasks


class Host(Protocol):
    """What owns a hub: a `headrace.server.Server`, or what embeds one elsewhere."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop to whose thread the hub belongs."""

    @property
    def node(self) -> Node:
        """The hub, with what signs its tokens."""


class HubBackend:
    """A `Backend` that has the host's loop do the work.

    In the loop's own thread nothing waits: a token is made at once, and a message is sent as soon
    as the loop comes to it. From any other thread a call waits until it has been done.
    """

    def __init__(self, host: Host) -> None:
        self._loop = host.loop
        self._node = host.node

    def create_channel(self, client_id: str, minutes: int) -> str:
        """See `Backend`."""
        if self._is_own_thread():
            return self._node.mint(client_id, minutes).token

        async def mint() -> str:
            return self._node.mint(client_id, minutes).token

        return self._wait_for(mint)

    def send(self, client_id: str, message: str) -> None:
        """See `Backend`."""
        hub = self._node.hub
        entry = entry_of(message, client_id, None, everyone=False)
        hub.check(entry)  # so that a fault is told of at once; it looks at nothing but settings

        async def publish() -> None:
            await hub.publish(entry)

        if not self._is_own_thread():
            self._wait_for(publish)
            return
        task = self._loop.create_task(publish())
        _sending.add(task)
        task.add_done_callback(_finished)

    def recognises(self, token: str) -> bool:
        """See `Backend`."""
        return is_signed(self._node.signer, token, self._node.hub.clocks.unix())

    def _is_own_thread(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    def _wait_for(self, work: Callable[[], Coroutine[Any, Any, _Result]]) -> _Result:
        """Have the loop do `work`, and wait for it; UnreachableError where it does not come to."""
        coroutine = work()
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:  # the loop is closed
            coroutine.close()
            raise UnreachableError("the server in this process has ended") from None
        try:
            return future.result(HUB_TIMEOUT_S)
        except concurrent.futures.CancelledError:
            raise UnreachableError("the server in this process has ended") from None
        except TimeoutError:
            future.cancel()
            raise UnreachableError(
                f"the server's event loop has not come to it for {HUB_TIMEOUT_S:.0f} s; does"
                " something block it?"
            ) from None


def _finished(task: asyncio.Task[None]) -> None:
    _sending.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        # Nobody waits for it. The texts of our own errors hold no data; others might.
        shown = error if isinstance(error, HeadraceError | OSError) else type(error).__name__
        _log.error("a message through headrace.appengine was not sent: %s", shown)

"""Run a coroutine's first step without a task.

Most handlers never wait. A task for each would cost a turn of the event loop, and messages of
requests that arrived together would not be delivered together. So the caller runs the first step
itself, `work.send(None)`. If that does not finish the work, `continue_in_task` is the rest.
"""

import types
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")


async def continue_in_task(work: Coroutine[Any, Any, T], awaited: object) -> T:
    """Continue `work`, whose first step yielded `awaited`, and return its result."""
    return await _continue(work, awaited)


@types.coroutine
def _continue(work: Coroutine[Any, Any, T], awaited: object) -> Generator[object, Any, T]:
    while True:
        error: BaseException | None = None
        sent = None
        try:
            sent = yield awaited
        except BaseException as thrown:  # noqa: BLE001 - the work handles it, a cancellation too
            error = thrown
        try:
            awaited = work.send(sent) if error is None else work.throw(error)
        except StopIteration as finished:
            result: T = finished.value
            return result

"""Coroutines that were begun before there was a task for them.

Most handlers never wait, and a task for each would cost them a turn of the loop, so that requests
which came together would not be delivered together. So the first step is made at once,
`work.send(None)`; if it did not come to its end, `rest` is what a task has still to do.
"""

import types
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")


async def rest(work: Coroutine[Any, Any, T], awaited: object) -> T:
    """Go on with `work`, whose first step yielded `awaited`, and return what it returns."""
    return await _rest(work, awaited)


@types.coroutine
def _rest(work: Coroutine[Any, Any, T], awaited: object) -> Generator[object, Any, T]:
    while True:
        fault: BaseException | None = None
        sent = None
        try:
            sent = yield awaited
        except BaseException as error:  # noqa: BLE001 - a cancellation too is the work's own affair
            fault = error
        try:
            awaited = work.send(sent) if fault is None else work.throw(fault)
        except StopIteration as done:
            result: T = done.value
            return result

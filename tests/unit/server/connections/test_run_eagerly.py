"""server/connections/run_eagerly.py: a coroutine whose first step ran outside a task."""

import asyncio

import pytest

from headrace.server.connections.run_eagerly import continue_in_task


async def doubled(future: "asyncio.Future[int]") -> int:
    try:
        first = await future
    except ValueError:
        first = 100
    await asyncio.sleep(0)
    return 2 * first


def begin(future: "asyncio.Future[int]") -> "asyncio.Task[int]":
    """Run the first step here, and the rest in a task."""
    work = doubled(future)
    return asyncio.get_running_loop().create_task(continue_in_task(work, work.send(None)))


def new_future() -> "asyncio.Future[int]":
    return asyncio.get_running_loop().create_future()


async def test_it_waits_and_returns_the_result() -> None:
    future = new_future()
    task = begin(future)
    await asyncio.sleep(0)
    assert not task.done()
    future.set_result(21)
    assert await task == 42


async def test_an_exception_is_raised_where_the_coroutine_waits() -> None:
    future = new_future()
    task = begin(future)
    future.set_exception(ValueError())
    assert await task == 200


async def test_an_exception_that_is_not_handled_ends_the_task() -> None:
    future = new_future()
    task = begin(future)
    future.set_exception(LookupError("a defect"))
    with pytest.raises(LookupError, match="a defect"):
        await task


async def test_a_cancellation_reaches_the_coroutine() -> None:
    future = new_future()
    task = begin(future)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert future.cancelled()


async def test_a_bare_yield_is_continued_in_the_next_tick() -> None:
    async def step() -> str:
        await asyncio.sleep(0)
        return "done"

    work = step()
    assert await continue_in_task(work, work.send(None)) == "done"

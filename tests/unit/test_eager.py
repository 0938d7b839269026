"""A coroutine that was begun without a task goes on in one as if nothing had happened."""

import asyncio

import pytest

from headrace.server.eager import rest


async def doubled(future: "asyncio.Future[int]") -> int:
    try:
        first = await future
    except ValueError:
        first = 100
    await asyncio.sleep(0)
    return 2 * first


def begun(future: "asyncio.Future[int]") -> "asyncio.Task[int]":
    work = doubled(future)
    return asyncio.get_running_loop().create_task(rest(work, work.send(None)))


async def test_it_gets_what_it_waits_for_and_returns() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = begun(future)
    await asyncio.sleep(0)
    assert not task.done()
    future.set_result(21)
    assert await task == 42


async def test_an_exception_is_raised_where_it_waits() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = begun(future)
    future.set_exception(ValueError())
    assert await task == 200


async def test_a_cancellation_reaches_it() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = begun(future)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert future.cancelled()

"""server/accept_errors.py: one log line a minute, whatever the number of attempts."""

import asyncio

import pytest

from headrace.server import accept_errors


async def test_running_out_of_descriptors_is_logged_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop = asyncio.get_running_loop()
    others: list[str] = []
    loop.set_exception_handler(lambda _, context: others.append(context["message"]))
    now = 100.0
    remove = accept_errors.limit_accept_errors(loop, lambda: now)
    failure = {"message": "socket.accept() out of system resource", "exception": OSError(24, "x")}
    for _ in range(1000):
        loop.call_exception_handler(failure)
    assert len(caplog.records) == 1
    now += accept_errors.LOG_INTERVAL_S
    loop.call_exception_handler(failure)
    assert len(caplog.records) == 2
    loop.call_exception_handler({"message": "another"})
    assert others == ["another"]
    remove()
    loop.call_exception_handler(failure)
    assert len(others) == 2
    loop.set_exception_handler(None)

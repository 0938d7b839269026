"""server/state_directory.py: the locks, the reserved ids, and the file.

Damaged and malformed files are in tests/end_to_end/test_state_dir.py.
"""

import asyncio
import logging
from pathlib import Path

import pytest
from tests.helpers.fakes import HubBench

from headrace.errors import ConfigError
from headrace.hub.snapshot import Snapshot, take_snapshot
from headrace.server.state_directory import StateDirectory


def snapshot() -> Snapshot:
    bench = HubBench()
    bench.send("ada", data="kept")
    return take_snapshot(bench.core)


def test_a_state_is_read_once(tmp_path: Path) -> None:
    state = StateDirectory(str(tmp_path / "made" / "here"))
    assert state.load() is None
    saved = snapshot()
    state.save(saved)
    state.save(saved)
    file = tmp_path / "made" / "here" / "history"
    assert file.stat().st_mode & 0o777 == 0o600
    assert state.load() == saved
    assert not file.exists()
    assert state.load() is None
    state.close()


def test_a_directory_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"state_dir .* cannot be used: .*; use a directory that"):
        StateDirectory(str(tmp_path / "file"))


def test_a_failure_to_write_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    state = StateDirectory(str(tmp_path))
    (tmp_path / "history").mkdir()
    with caplog.at_level(logging.ERROR, "headrace"):
        state.save(snapshot())
    assert "the state could not be written" in caplog.text
    state.close()


def test_reserved_ids_outlive_the_process(tmp_path: Path) -> None:
    first = StateDirectory(str(tmp_path))
    assert first.reserved_ms() == 0
    for until_ms in (1_732_412_345_000, 1_732_412_346_000):
        first.reserve_ids(until_ms)
        second = StateDirectory(str(tmp_path))
        assert second.reserved_ms() == until_ms
        second.close()
    first.close()


def test_close_closes_once(tmp_path: Path) -> None:
    state = StateDirectory(str(tmp_path))
    state.close()
    other = [open(tmp_path / "ids") for _ in range(4)]  # noqa: SIM115 - they reuse the descriptors
    state.close()
    for each in other:
        each.close()  # EBADF if the second call had closed them


# --- the locks -------------------------------------------------------------------------------


async def test_a_process_takes_over_in_two_steps(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    running, waiting = StateDirectory(str(tmp_path)), StateDirectory(str(tmp_path))
    await running.begin_accepting()
    await running.begin_writing()
    assert not running.has_successor()
    accepting = asyncio.create_task(waiting.begin_accepting())
    while not running.has_successor():  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0.001)
    assert not accepting.done()
    running.end_accepting()
    await accepting
    writing = asyncio.create_task(waiting.begin_writing())
    await asyncio.sleep(0)
    assert not writing.done()
    running.save(snapshot())
    running.close()
    await writing
    assert waiting.load() == snapshot()
    waiting.close()
    assert caplog.messages == [
        "waiting for the running server to stop",
        "waiting for the stopping server to write its state",
    ]


async def test_a_wait_can_be_cancelled(tmp_path: Path) -> None:
    running, waiting = StateDirectory(str(tmp_path)), StateDirectory(str(tmp_path))
    await running.begin_accepting()
    accepting = asyncio.create_task(waiting.begin_accepting())
    while not running.has_successor():  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0.001)
    accepting.cancel()
    await asyncio.wait([accepting])
    waiting.close()
    assert not running.has_successor()
    running.close()

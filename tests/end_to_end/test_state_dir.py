"""`state_dir`: the file is private, an invalid file is ignored, and a waiting server can stop."""

import asyncio
import hashlib
import logging
import os
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import msgspec
import pytest
from tests.end_to_end.conftest import Serve
from tests.helpers.server_process import server_process
from tests.helpers.site import API_KEY, SECRET, mint, open_site

from headrace.server.state_directory import StateDirectory

VALID: dict[str, object] = {
    "floor": "1-0",
    "floors": {},
    "latest": "2-0",
    "entries": [],
    "words": [],
    "revocations": {},
    "present": {},
    "left": [],
}


def with_checksum(body: bytes) -> bytes:
    """Return the content of a state file with the right checksum."""
    return b"headrace state 3\n" + hashlib.sha256(body).digest() + body


def encoded(**changes: object) -> bytes:
    return msgspec.msgpack.encode(VALID | changes)


def test_valid_file_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "history").write_bytes(with_checksum(encoded()))
    state = StateDirectory(str(tmp_path))
    assert state.load() is not None
    assert state.load() is None
    state.close()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        encoded(floor="x"),
        encoded(latest=""),
        encoded(floors={"@a": "1"}),
        encoded(entries=[["x", "data", None, ["@a"]]]),
        encoded(left=[["a", "1-0", "x"]]),
        encoded(revocations={"a": []}),
        encoded().replace(b"1-0", b"\xff\xff\xff"),
        encoded(further="").replace(b"\xa7further\xa0", b"\xa7further" + b"\x91" * 200_000),
        b"\xdf\xff\xff\xff\xff",
    ],
)
def test_invalid_file_is_logged_and_ignored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, body: bytes
) -> None:
    (tmp_path / "history").write_bytes(with_checksum(body))
    state = StateDirectory(str(tmp_path))
    with caplog.at_level(logging.ERROR):
        assert state.load() is None
    state.close()
    (record,) = caplog.records
    assert "the history starts empty: its content is not valid" in record.getMessage()
    assert not (tmp_path / "history").exists()


async def test_files_are_private(serve: Serve, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("untouched")
    directory = tmp_path / "state"
    before = os.umask(0)
    try:
        async with open_site(state_dir=str(directory)) as site:
            await site.send("a secret of alice")
            (directory / "history.new").symlink_to(elsewhere)
    finally:
        os.umask(before)
    assert b"a secret" in (directory / "history").read_bytes()
    assert not (directory / "history").is_symlink()
    assert {path.stat().st_mode & 0o077 for path in directory.iterdir()} == {0}
    assert elsewhere.read_text() == "untouched"
    second = await serve(state_dir=str(directory))
    assert second.core.history.size_bytes


@pytest.mark.asyncio(loop_factories=["asyncio"])  # the servers are other processes
async def test_waiting_server_can_be_stopped(tmp_path: Path) -> None:
    flags = ["--state-dir", str(tmp_path)]
    async with server_process(*flags) as running, running.connect(mint()) as client:
        environ = os.environ | {"HEADRACE_SECRET": SECRET, "HEADRACE_API_KEY": API_KEY}
        command = [sys.executable, "-m", "headrace", "serve", "--port", str(running.port), *flags]
        waiting = await asyncio.create_subprocess_exec(*command, env=environ, stderr=PIPE)
        assert waiting.stderr is not None
        assert b"waiting for the running server" in await waiting.stderr.readline()
        waiting.send_signal(signal.SIGTERM)
        assert await waiting.wait() == 0
        assert await waiting.stderr.read() == b""
        await running.send("still served")
        await client.recv()
        assert "still served" in str(await client.recv())

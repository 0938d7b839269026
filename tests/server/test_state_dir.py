"""The file of `state_dir`: nobody else reads it, and none that is at fault keeps a server down."""

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
from tests.server.conftest import Serve
from tests.server.kit import API_KEY, SECRET, mint, open_site
from tests.server.process import server_process

from headrace.server.state import StateDirectory

SOUND: dict[str, object] = {
    "floor": "1-0",
    "floors": {},
    "latest": "2-0",
    "entries": [],
    "words": [],
    "revocations": {},
    "present": {},
    "left": [],
}


def sealed(body: bytes) -> bytes:
    """Return a file whose checksum fits."""
    return b"headrace state 3\n" + hashlib.sha256(body).digest() + body


def encoded(**changes: object) -> bytes:
    return msgspec.msgpack.encode(SOUND | changes)


def test_a_sound_file_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "history").write_bytes(sealed(encoded()))
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
def test_a_file_at_fault_is_told_of_and_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, body: bytes
) -> None:
    (tmp_path / "history").write_bytes(sealed(body))
    state = StateDirectory(str(tmp_path))
    with caplog.at_level(logging.ERROR):
        assert state.load() is None
    state.close()
    (record,) = caplog.records
    assert "the history starts empty: it does not fit" in record.getMessage()
    assert not (tmp_path / "history").exists()


async def test_messages_on_disk_are_for_the_owner_alone(serve: Serve, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("untouched")
    directory = tmp_path / "state"
    before = os.umask(0)
    try:
        async with open_site(state_dir=str(directory)) as site:
            await site.send("a secret of alice's")
            (directory / "history.new").symlink_to(elsewhere)
    finally:
        os.umask(before)
    assert b"a secret" in (directory / "history").read_bytes()
    assert not (directory / "history").is_symlink()
    assert {path.stat().st_mode & 0o077 for path in directory.iterdir()} == {0}
    assert elsewhere.read_text() == "untouched"
    again = await serve(state_dir=str(directory))
    assert again.server.hub.history.size_bytes


@pytest.mark.asyncio(loop_factories=["asyncio"])  # the processes have loops of their own
async def test_whoever_waits_for_the_running_server_can_be_told_to_end(tmp_path: Path) -> None:
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
        await running.send("the running one is not disturbed")
        await client.recv()
        assert "the running one" in str(await client.recv())

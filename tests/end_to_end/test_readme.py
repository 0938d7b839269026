"""The commands and programs in README.md, run as they are written.

`tests/browser/readme.test.mjs` opens its page.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

README = (Path(__file__).parents[2] / "README.md").read_text()
PORT = "8080"
MESSAGE = r"Message(id='1732412345683-0', data='Hello, Ada', group=None)"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


MAKE, TERMINAL_1, TERMINAL_2, *_ = blocks("sh")
HELLO, EMBEDDING = blocks("python")


def shell(commands: str, directory: Path, **variables: str) -> subprocess.Popen[str]:
    inherited = {name: os.environ[name] for name in os.environ if not name.startswith("HEADRACE_")}
    return subprocess.Popen(
        ["/bin/sh", "-e", "-c", commands],
        cwd=directory,
        env=inherited | variables,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that a signal reaches the server, the shell's child
    )


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """An empty directory with this interpreter's environment as `.venv`."""
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


@pytest.fixture
def port(directory: Path) -> Iterator[str]:
    """The port of the server that the commands of terminal 1 start; they say 8080."""
    with shell(TERMINAL_1, directory, HEADRACE_PORT="0") as server:
        assert server.stdout is not None
        yield server.stdout.readline().rpartition(":")[2].strip()
        os.killpg(server.pid, signal.SIGTERM)


def test_begins_with_the_two_commands() -> None:
    commands = [line.split("#")[0].strip() for line in MAKE.splitlines()]
    assert commands == ["make demo", "make test"]


def test_first_steps(directory: Path, port: str) -> None:
    assert PORT in TERMINAL_2
    (directory / "hello.py").write_text(HELLO)
    with shell(TERMINAL_2.replace(PORT, port), directory) as run:
        printed = run.communicate(timeout=30)[0].strip()
    assert run.returncode == 0
    assert f"prints `{MESSAGE}`" in README
    assert re.sub(r"\d{13}-\d+", "1732412345683-0", printed) == MESSAGE


def test_embedding() -> None:
    run = subprocess.run(
        [sys.executable, "-c", EMBEDDING],
        env=os.environ | {"HEADRACE_SECRET": "s" * 43},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert re.fullmatch(
        r"http://127.0.0.1:\d+ \S+ \d{13}-\d+ ClientPresence\(client_id='ada', online=False.*\)\n",
        run.stdout,
    )
    assert run.stderr == ""

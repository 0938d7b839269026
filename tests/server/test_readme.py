"""The README's first example, run as it is written against a real server."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

README = (Path(__file__).parents[2] / "README.md").read_text()
KEYS = {"HEADRACE_SECRET": "s" * 43, "HEADRACE_API_KEY": "the-key-of-the-application"}


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found is not None, f"the README has no example in {language}"
    return found[1]


@pytest.fixture
def url() -> Iterator[str]:
    command = [sys.executable, "-m", "headrace", "serve", "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | KEYS
    ) as server:
        assert server.stdout is not None
        yield server.stdout.readline().split()[-1]
        server.terminate()


def test_begins_with_the_two_commands() -> None:
    commands = [line.split("#")[0].strip() for line in block("sh").splitlines()]
    assert commands == ["make demo", "make test"]


def test_ten_lines(url: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", block("python")],
        env=os.environ | KEYS | {"HEADRACE_URL": url},
        capture_output=True,
        text=True,
        check=True,
    )
    opened, message = [json.loads(line) for line in run.stdout.splitlines()]
    assert (opened["type"], opened["client_id"]) == ("open", "ada")
    assert message["data"] == "Hello, Ada"

"""headrace.cli: help, version, usage."""

import re
import runpy
import sys

import pytest
from tests.unit.cli.conftest import error_of, output_of

from headrace.cli.configuration import flag_of, singular_of
from headrace.settings import FIELDS
from headrace.version import __version__

COMMANDS = ["check-config", "keygen", "listen", "send", "serve", "token"]


def test_help_names_the_commands() -> None:
    text = output_of("--help")
    assert re.findall(r"^  ([a-z-]+)  +[A-Z]", text, re.MULTILINE) == COMMANDS
    assert text.count("...") == 1  # in the usage; no description is cut
    assert output_of("-h") == text


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(command: str) -> None:
    text = output_of(command, "--help")
    assert text.startswith(f"Usage: headrace {command} ")
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("command", ["serve", "check-config"])
def test_help_has_every_setting(command: str) -> None:
    text = output_of(command, "--help")
    for name, field in FIELDS.items():
        flag = flag_of(singular_of(name) if field.is_list else name)
        assert re.search(rf"^  {flag} [A-Z\[]", text, re.MULTILINE), flag


def test_version() -> None:
    assert __version__ in output_of("--version")


def test_usage() -> None:
    assert "No such command 'publish'" in error_of(2, "publish")
    assert "No such option '--prot'" in error_of(2, "serve", "--prot", "1")
    assert "Missing argument 'CLIENT_ID'" in error_of(2, "token")


def test_python_m_headrace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["__main__.py", "--version"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("headrace", run_name="__main__")
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("headrace, version ")

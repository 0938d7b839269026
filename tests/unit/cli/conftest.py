"""Run the `headrace` command in this process."""

from collections.abc import Mapping
from types import MappingProxyType

import pytest
from click.testing import CliRunner, Result

from headrace.cli import main

SECRET = "0123456789abcdef0123456789abcdef"
KEYS = {"HEADRACE_SECRET": SECRET, "HEADRACE_API_KEY": "the-key"}
NO_VARIABLES: Mapping[str, str] = MappingProxyType({})


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("SECRET", "SECRETS", "API_KEY", "CONFIG", "URL", "PORT", "HOST"):
        monkeypatch.delenv(f"HEADRACE_{variable}", raising=False)


def run(
    *arguments: str, stdin: bytes | None = None, env: Mapping[str, str] = NO_VARIABLES
) -> Result:
    """Run the command; its output never contains a traceback or the secret."""
    result = CliRunner().invoke(main, arguments, input=stdin, env=env, prog_name="headrace")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    assert SECRET not in result.output
    return result


def error_of(
    exit_code: int,
    *arguments: str,
    stdin: bytes | None = None,
    env: Mapping[str, str] = NO_VARIABLES,
) -> str:
    """Run a command that fails with this exit code; return its stderr."""
    result = run(*arguments, stdin=stdin, env=env)
    assert (result.exit_code, result.stdout) == (exit_code, "")
    return result.stderr


def output_of(*arguments: str, env: Mapping[str, str] = NO_VARIABLES) -> str:
    """Run a command that succeeds; return its stdout."""
    result = run(*arguments, env=env)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout

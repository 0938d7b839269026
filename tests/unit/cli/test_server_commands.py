"""headrace.cli.server_commands: serve, check-config, keygen, token."""

import re
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from tests.unit.cli.conftest import KEYS, SECRET, error_of, output_of, run

import headrace.server.run
from headrace.hooks.webhooks import Webhooks
from headrace.settings import FIELDS, Settings


def test_keygen() -> None:
    keys = {output_of("keygen") for _ in range(3)}
    assert len(keys) == 3
    assert all(re.fullmatch(r"[\w-]{43}\n", key, re.ASCII) for key in keys)


@pytest.mark.parametrize(("flag", "prefix"), [("--env", ""), ("--export", "export ")])
def test_keygen_of_both_keys(flag: str, prefix: str) -> None:
    secret, api_key = output_of("keygen", flag).splitlines()
    assert re.fullmatch(prefix + r"HEADRACE_SECRET=[\w-]{43}", secret)
    assert re.fullmatch(prefix + r"HEADRACE_API_KEY=[\w-]{43}", api_key)


def claims_of(text: str) -> dict[str, Any]:
    assert re.fullmatch(r"[\w.-]+\n", text, re.ASCII)
    claims: dict[str, Any] = jwt.decode(text.strip(), SECRET, algorithms=["HS256"])
    return claims


def test_token() -> None:
    before = round(time.time(), 3)
    claims = claims_of(output_of("token", "élève", env=KEYS))
    assert (claims.pop("exp") - claims["iat"], claims["iat"] >= before) == (7200, True)
    del claims["iat"]
    assert claims == {"sub": "élève"}


def test_token_with_all_options(tmp_path: Path) -> None:
    file = tmp_path / "headrace.toml"
    file.write_text(f'secrets = ["{SECRET}"]\nclient_id_max_bytes = 3\n')
    flags = ["--config", str(file), "--client-id-max-bytes", "5"]
    claims = claims_of(
        output_of(
            "token", "--minutes=1", "--group=a", "--group=b", "--send=group:a", *flags, "alice"
        )
    )
    assert claims["exp"] - claims["iat"] == 60
    assert (claims["groups"], claims["send"]) == (["a", "b"], ["group:a"])
    assert "is 5 bytes of UTF-8" in error_of(2, "token", "alice", *flags[:2])


def test_token_errors() -> None:
    assert error_of(2, "token", "alice") == (
        "Error: no secret is set, and a token needs the server's: give --secret, HEADRACE_SECRET"
        " or --config\n"
    )
    assert "1441 is not in the range 1<=x<=1440" in error_of(
        2, "token", "a", "--minutes=1441", env=KEYS
    )
    assert "client ID '' is 0 bytes" in error_of(2, "token", "", env=KEYS)
    assert "surrogate" in error_of(2, "token", "\udcff", env=KEYS)
    assert "secret 1 is 4 bytes long" in error_of(2, "token", "a", "--secret=hush")


# --- check-config, serve --------------------------------------------------------------------------


def test_check_config(tmp_path: Path) -> None:
    file = tmp_path / "headrace.toml"
    file.write_text("port = 80\ndrain_s = 5\n")
    text = output_of(
        "check-config", "--config", str(file), "--drain-s=1", env={"HEADRACE_HOST": "::1", **KEYS}
    )
    rows = {line.split()[0]: re.split(r"  +", line)[1:] for line in text.splitlines()}
    assert list(rows) == list(FIELDS)
    assert rows["host"] == ["::1", "HEADRACE_HOST"]
    assert rows["port"] == ["80", f"key in {file}: port"]
    assert rows["drain_s"] == ["1.0", "--drain-s"]
    assert rows["secrets"] == ["(32 bytes)", "HEADRACE_SECRET"]
    assert rows["api_key"] == ["(7 bytes)", "HEADRACE_API_KEY"]
    assert rows["ring_max_bytes"] == ["1048576", "default"]


def test_check_config_says_whether_serve_would_start() -> None:
    assert "will generate the missing keys" in output_of("check-config")
    result = run("check-config", "--host", "0.0.0.0", env={"HEADRACE_API_KEY": "the-key"})
    assert result.exit_code == 2
    assert "but no secret is set: set HEADRACE_SECRET" in result.stderr
    assert error_of(2, "check-config", "--port=x") == (
        "Error: --port is 'x'; it must be a whole number\n"
    )
    assert "no variable HEADRACE_PRT" in error_of(2, "check-config", env={"HEADRACE_PRT": "1"})
    result = run("check-config", "--allowed-origin", "example.com")
    assert result.exit_code == 2
    assert "allowed_origins has 'example.com'" in result.stderr
    result = run("check-config", "--tls-cert", "/no.pem", "--tls-key", "/no.key")
    assert result.exit_code == 2
    assert "tls_cert /no.pem and tls_key /no.key cannot be used" in result.stderr


class RunServer:
    """Replaces `run_server`."""

    def __init__(self) -> None:
        self.settings: Settings | None = None
        self.options: dict[str, Any] = {}

    def __call__(self, settings: Settings, announce: Any, **options: Any) -> None:
        self.settings = settings
        self.options = options
        announce("http://127.0.0.1:1")


@pytest.fixture
def run_server(monkeypatch: pytest.MonkeyPatch) -> RunServer:
    fake = RunServer()
    monkeypatch.setattr(headrace.server.run, "run_server", fake)
    return fake


def test_serve(run_server: RunServer) -> None:
    text = output_of(
        "serve", "--host", "0.0.0.0", "--secret", SECRET, "--secret", SECRET[::-1],
        "--allowed-origins", "https://a.example,https://b.example",
        env={"HEADRACE_API_KEY": "the-key"},
    )  # fmt: skip
    assert text == "Listening on http://127.0.0.1:1\n"
    assert run_server.settings == Settings(
        host="0.0.0.0",
        secrets=(SECRET, SECRET[::-1]),
        api_key="the-key",
        allowed_origins=("https://a.example", "https://b.example"),
    )
    assert (run_server.options["demo"], run_server.options["application"]) == (False, None)


def test_serve_without_keys_generates_them(run_server: RunServer) -> None:
    text = output_of("serve")
    assert run_server.options["demo"]
    settings = run_server.settings
    assert settings is not None
    first, *lines = text.splitlines()
    assert first.startswith("No secret and no API key is set: generated what is missing, valid")
    assert lines == [
        f"export HEADRACE_SECRET={settings.secrets[0]}",
        f"export HEADRACE_API_KEY={settings.api_key}",
        "Listening on http://127.0.0.1:1",
        "Open http://127.0.0.1:1/ in two browser tabs to chat from one to the other.",
    ]


def test_serve_without_keys_accepts_only_loopback_addresses(run_server: RunServer) -> None:
    assert "no secret and no API key is set" in error_of(2, "serve", "--host", "192.0.2.1")
    assert run_server.settings is None


def test_serve_with_webhooks(run_server: RunServer) -> None:
    output_of("serve", "--app-url", "http://app.example", env=KEYS)
    assert isinstance(run_server.options["application"], Webhooks)


def test_reload_keeps_generated_keys(run_server: RunServer) -> None:
    output_of("serve")
    before = run_server.settings
    assert before is not None
    assert run_server.options["reload"]() == before
    assert before.secrets
    assert before.api_key


def test_reload_reads_only_the_keys_again(run_server: RunServer, tmp_path: Path) -> None:
    file = tmp_path / "headrace.toml"
    file.write_text(f'secret = "{SECRET}"\napi_key = "the-key"\nport = 1\n')
    output_of("serve", "--config", str(file), "--app-url", "http://app.example")
    file.write_text(f'secret = "{SECRET[::-1]}"\nport = 2\n')
    settings = run_server.options["reload"]()
    assert settings == Settings(
        secrets=(SECRET[::-1],), api_key=None, port=1, app_url="http://app.example"
    )

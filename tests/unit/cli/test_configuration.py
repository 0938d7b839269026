"""headrace.cli.configuration: precedence, spellings, and errors that name the source."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from headrace.cli.configuration import describe, load_settings
from headrace.errors import ConfigError
from headrace.settings import FIELDS, Settings

SECRET = "0123456789abcdef0123456789abcdef"
OTHER = "fedcba9876543210fedcba9876543210"

SAMPLES: dict[Any, tuple[str, str]] = {
    int: ("7", "7"),
    float: ("7.5", "7.5"),
    str: ("text", '"text"'),
    tuple[str, ...]: (f"{SECRET},{OTHER}", f'["{SECRET}", "{OTHER}"]'),
}
"""For each kind of setting, a value as text and as TOML."""


def sample_of(name: str) -> tuple[str, str]:
    if name == "admin_listen":
        return "127.0.0.1:8081", '"127.0.0.1:8081"'
    if name == "app_url":
        return "http://app", '"http://app"'
    field = FIELDS[name]
    if not field.choices:
        return SAMPLES[field.kind]
    return field.choices[-1], f'"{field.choices[-1]}"'


def required_with(name: str) -> dict[str, str]:
    """Return the settings without which this one is not valid."""
    pairs = {"tls_cert": "tls_key", "tls_key": "tls_cert"}
    return {pairs[name]: "text"} if name in pairs else {}


def toml(tmp_path: Path, text: str) -> str:
    path = tmp_path / "headrace.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def error_text(*arguments: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(*arguments)
    return str(caught.value)


def test_defaults() -> None:
    assert load_settings({}, {}) == (Settings(), {})


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_has_three_spellings(name: str, tmp_path: Path) -> None:
    text, literal = sample_of(name)
    default = FIELDS[name].default
    others = required_with(name)
    flagged = load_settings({name: text, **others}, {})
    variable = "HEADRACE_" + name.upper()
    from_environment = load_settings(others, {variable: text})
    path = toml(tmp_path, f"{name} = {literal}\n")
    from_file = load_settings(others, {}, path)

    value = getattr(flagged.settings, name)
    assert value != default
    assert [getattr(loaded.settings, name) for loaded in (from_environment, from_file)] == [
        value
    ] * 2
    assert flagged.sources[name] == "--" + name.replace("_", "-")
    assert from_environment.sources[name] == variable
    assert from_file.sources[name] == f"key in {path}: {name}"


def test_precedence(tmp_path: Path) -> None:
    path = toml(tmp_path, 'host = "::1"\nport = 1\nmessage_max_bytes = 1\n')
    loaded = load_settings(
        {"port": "3", "secret": (), "api_key": None},
        {"HEADRACE_PORT": "2", "HEADRACE_MESSAGE_MAX_BYTES": "2", "HEADRACE_HOST": ""},
        path,
    )
    settings = loaded.settings
    assert (settings.port, settings.message_max_bytes, settings.host) == (3, 2, "::1")
    assert loaded.sources == {
        "port": "--port",
        "message_max_bytes": "HEADRACE_MESSAGE_MAX_BYTES",
        "host": f"key in {path}: host",
    }


def test_the_file_is_named_by_a_variable(tmp_path: Path) -> None:
    path = toml(tmp_path, "port = 1")
    assert load_settings({}, {"HEADRACE_CONFIG": path}).settings.port == 1
    assert load_settings({}, {"HEADRACE_CONFIG": ""}).settings.port == 8080
    other = tmp_path / "other.toml"
    other.write_text("port = 2")
    assert load_settings({}, {"HEADRACE_CONFIG": path}, str(other)).settings.port == 2


@pytest.mark.parametrize(
    ("flags", "environ", "text"),
    [
        ({"secret": (SECRET, OTHER)}, {}, ""),
        ({"secrets": f"{SECRET},{OTHER}"}, {}, ""),
        ({}, {"HEADRACE_SECRETS": f" {SECRET} ,\n {OTHER},"}, ""),
        ({}, {"HEADRACE_SECRETS": f"{SECRET} {OTHER}"}, ""),
        ({}, {}, f'secrets = ["{SECRET}", "{OTHER}"]'),
        ({}, {}, f'secrets = "{SECRET},{OTHER}"'),
    ],
)
def test_several_secrets(
    flags: dict[str, object], environ: dict[str, str], text: str, tmp_path: Path
) -> None:
    loaded = load_settings(flags, environ, toml(tmp_path, text))
    assert loaded.settings.secrets == (SECRET, OTHER)


@pytest.mark.parametrize("one", [SECRET, f"{SECRET}, with a comma"])
def test_one_secret_is_used_as_it_is(one: str, tmp_path: Path) -> None:
    for flags, environ, text in (
        ({"secret": (one,)}, {}, ""),
        ({}, {"HEADRACE_SECRET": one}, ""),
        ({}, {}, f'secret = "{one}"'),
    ):
        assert load_settings(flags, environ, toml(tmp_path, text)).settings.secrets == (one,)


def test_several_origins() -> None:
    origins = ("https://a.example", "https://b.example")
    for environ in (
        {"HEADRACE_ALLOWED_ORIGINS": ",".join(origins)},
        {"HEADRACE_ALLOWED_ORIGINS": " ".join(origins)},
    ):
        assert load_settings({}, environ).settings.allowed_origins == origins
    assert load_settings({"allowed_origin": origins}, {}).settings.allowed_origins == origins


def test_both_spellings_at_once() -> None:
    assert error_text({}, {"HEADRACE_SECRET": SECRET, "HEADRACE_SECRETS": OTHER}) == (
        "HEADRACE_SECRET and HEADRACE_SECRETS are both set; keep one of them"
    )


@pytest.mark.parametrize(
    ("flags", "environ", "text", "expected"),
    [
        ({"port": "80a"}, {}, "", "--port is '80a'; it must be a whole number"),
        ({"port": "8080.5"}, {}, "", "--port is '8080.5'; it must be a whole number"),
        ({}, {"HEADRACE_PORT": "http"}, "", "HEADRACE_PORT is 'http'; it must be a whole number"),
        ({}, {}, 'port = "80"', "key in FILE: port is '80'; it must be a whole number"),
        ({}, {}, "port = true", "key in FILE: port is True; it must be a whole number"),
        ({}, {}, "host = 127", "key in FILE: host is 127; it must be text in UTF-8"),
        (
            {},
            {},
            "secrets = [1]",
            "key in FILE: secrets is not usable; it must be a list of texts in UTF-8",
        ),
        ({}, {}, "api_key = 1234", "key in FILE: api_key is not usable; it must be text in UTF-8"),
        ({"host": "\udcff"}, {}, "", r"--host is '\udcff'; it must be text in UTF-8"),
        (
            {"secret": ("\udcff" * 32,)},
            {},
            "",
            "--secret is not usable; it must be a list of texts in UTF-8",
        ),
        ({}, {"HEADRACE_DRAIN_S": "nan"}, "", "HEADRACE_DRAIN_S is 'nan'; it must be a number"),
        ({}, {}, "drain_s = inf", "key in FILE: drain_s is inf; it must be a number"),
        (
            {"slow_consumer": "wait"},
            {},
            "",
            "--slow-consumer is 'wait'; it must be one of close, drop-oldest",
        ),
        (
            {"port": "70000"},
            {},
            "",
            "port is 70000; it must be 0 to 65535 (port is from --port)",
        ),
        (
            {},
            {"HEADRACE_PING_INTERVAL_S": "0"},
            "",
            (
                "ping_interval_s is 0.0; it must be at least 0.1"
                " (ping_interval_s is from HEADRACE_PING_INTERVAL_S)"
            ),
        ),
        (
            {},
            {},
            'tls_cert = "a"',
            (
                "tls_cert is set but tls_key is not; TLS needs both"
                " (tls_cert is from key in FILE: tls_cert)"
            ),
        ),
        (
            {},
            {"HEADRACE_SECRETS": f"{SECRET},short"},
            "",
            (
                "secret 2 is 5 bytes long; it must be at least 32: `headrace keygen` makes one"
                " (secrets is from HEADRACE_SECRETS)"
            ),
        ),
        (
            {},
            {"HEADRACE_PROT": "1"},
            "",
            "there is no variable HEADRACE_PROT; the nearest is HEADRACE_PORT",
        ),
        (
            {},
            {"HEADRACE_API_KEYS": "1"},
            "",
            "there is no variable HEADRACE_API_KEYS; the nearest is HEADRACE_API_KEY",
        ),
        ({}, {}, "api-key = 'x'", "there is no key in FILE: api-key; the nearest is api_key"),
        ({}, {}, "[server]\nport = 1", "there is no key in FILE: server; the nearest is secret"),
        ({}, {}, "port = ", "the file FILE is not TOML: Invalid value (at end of document)"),
    ],
)
def test_errors_name_the_source(
    flags: dict[str, object], environ: dict[str, str], text: str, expected: str, tmp_path: Path
) -> None:
    path = toml(tmp_path, text)
    assert error_text(flags, environ, path).replace(path, "FILE") == expected


@pytest.mark.parametrize("name", ["secret", "secrets", "api_key"])
@pytest.mark.parametrize("literal", ['"hush"', "['hush']", "['hush', 'hush']", "{hush = 'hush'}"])
def test_errors_never_show_a_secret(name: str, literal: str, tmp_path: Path) -> None:
    path = toml(tmp_path, f"{name} = {literal}\nport = 99999")
    assert "hush" not in error_text({}, {}, path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.toml")
    assert (
        error_text({}, {}, missing)
        == f"the file {missing} cannot be read: No such file or directory"
    )
    assert error_text({}, {}, str(tmp_path)).endswith("cannot be read: Is a directory")
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'host = "\xe9"')
    assert error_text({}, {}, str(latin)) == f"the file {latin} is not UTF-8"


def test_variables_that_are_not_settings() -> None:
    environ = {
        "HEADRACE_URL": "http://127.0.0.1:8080",
        "HEADRACE_CONFIG": "",
        "headrace_port": "1",
        "PORT": "1",
        # Set by Kubernetes if a Service has the name headrace:
        "HEADRACE_SERVICE_HOST": "10.0.0.1",
        "HEADRACE_SERVICE_PORT": "80",
        "HEADRACE_SERVICE_PORT_HTTP": "80",
        "HEADRACE_PORT": "tcp://10.0.0.1:80",
        "HEADRACE_PORT_80_TCP": "tcp://10.0.0.1:80",
        "HEADRACE_PORT_80_TCP_ADDR": "10.0.0.1",
    }
    assert load_settings({}, environ) == (Settings(), {})


def test_describe_masks_secrets() -> None:
    loaded = load_settings(
        {"secret": (SECRET, OTHER + "é")},
        {
            "HEADRACE_API_KEY": "hush",
            "HEADRACE_ALLOWED_ORIGINS": "https://user:hush@a.example,https://b.example",
        },
    )
    rows = {name: (value, source) for name, value, source in describe(loaded)}
    assert list(rows) == [field.name for field in msgspec.structs.fields(Settings)]
    assert rows["secrets"] == ("(32 bytes), (34 bytes)", "--secret")
    assert rows["api_key"] == ("(4 bytes)", "HEADRACE_API_KEY")
    assert rows["allowed_origins"] == (
        "https://…@a.example, https://b.example",
        "HEADRACE_ALLOWED_ORIGINS",
    )
    assert rows["port"] == ("8080", "default")
    assert rows["max_connections"] == ("-", "default")
    assert "hush" not in str(rows)
    assert SECRET not in str(rows)

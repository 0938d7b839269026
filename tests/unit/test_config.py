"""headrace.config: precedence, spellings, and errors that say where a value came from."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from headrace import config
from headrace.config import complete, describe, is_loopback, load_settings, local_url
from headrace.errors import ConfigError
from headrace.settings import Settings

SECRET = "0123456789abcdef0123456789abcdef"
OTHER = "fedcba9876543210fedcba9876543210"

SAMPLES: dict[Any, tuple[str, str]] = {
    int: ("7", "7"),
    int | None: ("7", "7"),
    float: ("7.5", "7.5"),
    str: ("text", '"text"'),
    str | None: ("text", '"text"'),
    tuple[str, ...]: (f"{SECRET},{OTHER}", f'["{SECRET}", "{OTHER}"]'),
}
"""For each type of a setting, a value as text and as TOML."""


def sample_of(name: str) -> tuple[str, str]:
    if name == "app_url":
        return "http://app", '"http://app"'
    wanted = config.FIELDS[name].type
    if wanted in SAMPLES:
        return SAMPLES[wanted]
    choice = wanted.__args__[-1]
    return choice, f'"{choice}"'


def others(name: str) -> dict[str, str]:
    """What has to be set beside a setting for it to be valid."""
    pairs = {"tls_cert": "tls_key", "tls_key": "tls_cert"}
    return {pairs[name]: "text"} if name in pairs else {}


def toml(tmp_path: Path, text: str) -> str:
    path = tmp_path / "headrace.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def fault(*arguments: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(*arguments)
    return str(caught.value)


def test_defaults() -> None:
    assert load_settings({}, {}) == (Settings(), {})


@pytest.mark.parametrize("name", config.FIELDS)
def test_every_setting_has_three_spellings(name: str, tmp_path: Path) -> None:
    text, literal = sample_of(name)
    default = config.FIELDS[name].default
    beside = others(name)
    flagged = load_settings({name: text, **beside}, {})
    variable = "HEADRACE_" + name.upper()
    from_environment = load_settings(beside, {variable: text})
    path = toml(tmp_path, f"{name} = {literal}\n")
    from_file = load_settings(beside, {}, path)

    value = getattr(flagged.settings, name)
    assert value != default
    assert [getattr(loaded.settings, name) for loaded in (from_environment, from_file)] == [
        value
    ] * 2
    assert flagged.sources[name] == "--" + name.replace("_", "-")
    assert from_environment.sources[name] == variable
    assert from_file.sources[name] == f"key in {path}: {name}"


def test_every_setting_is_explained() -> None:
    assert set(config.FIELDS) <= set(config.MEANINGS)


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
def test_one_secret_is_taken_as_it_is(one: str, tmp_path: Path) -> None:
    for flags, environ, text in (
        ({"secret": (one,)}, {}, ""),
        ({}, {"HEADRACE_SECRET": one}, ""),
        ({}, {}, f'secret = "{one}"'),
    ):
        assert load_settings(flags, environ, toml(tmp_path, text)).settings.secrets == (one,)


def test_origins_in_the_same_ways() -> None:
    origins = ("https://a.example", "https://b.example")
    for environ in (
        {"HEADRACE_ALLOWED_ORIGINS": ",".join(origins)},
        {"HEADRACE_ALLOWED_ORIGINS": " ".join(origins)},
    ):
        assert load_settings({}, environ).settings.allowed_origins == origins
    assert load_settings({"allowed_origin": origins}, {}).settings.allowed_origins == origins


def test_both_spellings_at_once() -> None:
    assert fault({}, {"HEADRACE_SECRET": SECRET, "HEADRACE_SECRETS": OTHER}) == (
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
            "port is 70000; it must be 0 (any free port) to 65535 (port is from --port)",
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
def test_faults_say_where(
    flags: dict[str, object], environ: dict[str, str], text: str, expected: str, tmp_path: Path
) -> None:
    path = toml(tmp_path, text)
    assert fault(flags, environ, path).replace(path, "FILE") == expected


@pytest.mark.parametrize("name", ["secret", "secrets", "api_key"])
@pytest.mark.parametrize("literal", ['"hush"', "['hush']", "['hush', 'hush']", "{hush = 'hush'}"])
def test_faults_never_show_a_secret(name: str, literal: str, tmp_path: Path) -> None:
    path = toml(tmp_path, f"{name} = {literal}\nport = 99999")
    assert "hush" not in fault({}, {}, path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.toml")
    assert fault({}, {}, missing) == f"the file {missing} cannot be read: No such file or directory"
    assert fault({}, {}, str(tmp_path)).endswith("cannot be read: Is a directory")
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'host = "\xe9"')
    assert fault({}, {}, str(latin)) == f"the file {latin} is not UTF-8"


def test_variables_that_are_no_settings() -> None:
    environ = {
        "HEADRACE_URL": "http://127.0.0.1:8080",
        "HEADRACE_CONFIG": "",
        "headrace_port": "1",
        "PORT": "1",
        # Kubernetes, beside a Service that is named headrace:
        "HEADRACE_SERVICE_HOST": "10.0.0.1",
        "HEADRACE_SERVICE_PORT": "80",
        "HEADRACE_SERVICE_PORT_HTTP": "80",
        "HEADRACE_PORT": "tcp://10.0.0.1:80",
        "HEADRACE_PORT_80_TCP": "tcp://10.0.0.1:80",
        "HEADRACE_PORT_80_TCP_ADDR": "10.0.0.1",
    }
    assert load_settings({}, environ) == (Settings(), {})


# The start without keys.


def complete_with(**changes: Any) -> tuple[Settings, tuple[str, ...]]:
    keys = iter(["a" * 43, "b" * 43])
    return complete(Settings(**changes), new_key=lambda: next(keys))


def test_both_keys_are_made() -> None:
    assert complete_with() == (
        Settings(secrets=("a" * 43,), api_key="b" * 43),
        (
            "No secret and no API key is set. Until this server stops:",
            f"  HEADRACE_SECRET={'a' * 43}",
            f"  HEADRACE_API_KEY={'b' * 43}",
        ),
    )


def test_the_missing_key_is_made() -> None:
    assert complete_with(secrets=(SECRET,), host="::1") == (
        Settings(secrets=(SECRET,), api_key="a" * 43, host="::1"),
        ("No API key is set. Until this server stops:", f"  HEADRACE_API_KEY={'a' * 43}"),
    )
    assert complete_with(api_key="key", host="localhost") == (
        Settings(secrets=("a" * 43,), api_key="key", host="localhost"),
        ("No secret is set. Until this server stops:", f"  HEADRACE_SECRET={'a' * 43}"),
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_nothing_is_made_where_nothing_is_missing(host: str) -> None:
    settings = Settings(host=host, secrets=(SECRET,), api_key="key")
    assert complete(settings, new_key=lambda: pytest.fail("not needed")) == (settings, ())


def test_no_keys_no_other_address() -> None:
    with pytest.raises(ConfigError) as caught:
        complete_with(host="0.0.0.0")
    assert str(caught.value) == (
        "host is '0.0.0.0', which other machines can reach, but no secret and no API key is set:"
        " set HEADRACE_SECRET and HEADRACE_API_KEY to what `headrace keygen` prints, or listen on"
        " 127.0.0.1"
    )
    for changes, missing in (({"api_key": "key"}, "no secret"), ({"secrets": (SECRET,)}, "no API")):
        with pytest.raises(ConfigError, match=f"can reach, but {missing} .*is set"):
            complete_with(host="push.example", **changes)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True), ("127.255.1.2", True), ("::1", True), ("localhost", True),
        ("LocalHost", True), ("::ffff:127.0.0.1", True), ("0:0:0:0:0:0:0:1", True),
        ("", False), ("0.0.0.0", False), ("::", False), ("128.0.0.1", False), ("10.0.0.1", False),
        ("localhost.example", False), ("127.0.0.1.example", False), ("::2", False),
        ("127.1", False),
    ],
)  # fmt: skip
def test_is_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("changes", "url"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"host": "0.0.0.0", "port": 0}, "http://127.0.0.1:8080"),
        ({"host": "::", "port": 80}, "http://[::1]:80"),
        ({"host": "", "tls_cert": "a", "tls_key": "b"}, "https://127.0.0.1:8080"),
        ({"host": "push.example", "port": 1}, "http://push.example:1"),
    ],
)
def test_local_url(changes: dict[str, Any], url: str) -> None:
    assert local_url(Settings(**changes)) == url


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

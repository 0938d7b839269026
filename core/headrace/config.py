"""Settings from flags, the environment and a TOML file, in that order of precedence.

Every field of `Settings` has all three spellings, made from its name: `--api-key`,
`HEADRACE_API_KEY`, `api_key = …`. A field that holds several texts has a singular beside it that
takes one text as it is (`--secret`, `HEADRACE_SECRET`, `secret = "…"`); the plural takes a TOML
list, or texts separated by commas or white space. An empty variable counts as not set.
"""

import difflib
import ipaddress
import math
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from headrace.errors import ConfigError
from headrace.settings import Settings

FIELDS: dict[str, msgspec.structs.FieldInfo] = {
    field.name: field for field in msgspec.structs.fields(Settings)
}
"""The settings by name, in the order in which they are shown."""

MEANINGS: dict[str, str] = {
    "host": "Address to listen on.",
    "port": "Port to listen on; 0: any free one, which is printed.",
    "secrets": "Key that signs tokens, 32 bytes or more. The first signs, all verify.",
    "api_key": "Bearer key of the routes for the application.",
    "allowed_origins": "Origin whose pages may connect and post, beside the server's; * for all.",
    "app_url": "Base URL that gets presence notices and update-messages.",
    "message_max_bytes": "Longest message, in bytes of UTF-8.",
    "client_id_max_bytes": "Longest client ID, in bytes of UTF-8.",
    "ring_max_messages": "Messages that may wait for a slow session.",
    "ring_max_bytes": "Bytes that may wait for a slow session.",
    "slow_consumer": "What happens to a session over those limits.",
    "history_max_bytes": "Bytes kept for clients that come back.",
    "history_max_age_s": "Seconds for which messages are kept for clients that come back.",
    "sessions_per_client": "Connections of one client; the oldest gives way.",
    "max_connections": "Connections in all; over it 503. By default by the file-descriptor limit.",
    "ping_interval_s": "Seconds of quiet after which a session gets a ping.",
    "drain_s": "Seconds over which a shutdown spreads its goodbyes.",
    "presence_grace_s": "Seconds a client may be gone before it counts as disconnected.",
    "write_timeout_s": "Seconds after which a peer that takes nothing is cut.",
    "state_dir": "Directory where the history is kept across a planned restart.",
    "tls_cert": "PEM file with the certificate chain; with --tls-key, the server speaks TLS.",
    "tls_key": "PEM file with the certificate's private key.",
}
"""What each setting is for, as `headrace serve --help` says it."""

SECRET_FIELDS = frozenset({"secrets", "api_key"})
"""Settings whose values are never shown."""

SEVERAL: frozenset[str] = frozenset(
    name for name, field in FIELDS.items() if field.type == tuple[str, ...]
)
"""Settings that hold several texts, and so have a singular spelling too."""

EXTRA_VARIABLES = frozenset({"HEADRACE_CONFIG", "HEADRACE_URL"})
"""Variables that are not settings: the TOML file's path, and the server that a command asks."""

_PREFIX = "HEADRACE_"
# What Kubernetes sets in every pod beside a Service that is named headrace.
_KUBERNETES = re.compile(r"HEADRACE_(SERVICE_(HOST|PORT)|PORT_\d+_(TCP|UDP|SCTP))(_[A-Z0-9_]+)?")


class Loaded(NamedTuple):
    """The settings, and where each one that is not the default came from."""

    settings: Settings
    sources: dict[str, str]


class _Raw(NamedTuple):
    """A value as it was found; `typed` where it has a type already, as in TOML."""

    value: object
    source: str
    typed: bool


def load_settings(
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    config_path: str | None = None,
) -> Loaded:
    """Return the settings that `flags`, then `environ`, then the TOML file give.

    `flags` has the settings' names as keys, with underscores; None and () count as not given. The
    file is the one at `config_path`, or else the one that `HEADRACE_CONFIG` names. ConfigError
    says where the value that cannot be used came from, and never what a secret is.
    """
    config_path = config_path or environ.get("HEADRACE_CONFIG") or None
    layers = [
        _from_flags(flags),
        _from_environment(environ),
        _from_file(config_path) if config_path else {},
    ]
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name in FIELDS:
        for layer in layers:
            if raw := layer.get(name):
                values[name] = _convert(name, raw)
                sources[name] = raw.source
                break
    try:
        return Loaded(Settings(**values), sources)
    except ConfigError as error:
        raise ConfigError(f"{error}{_blame(str(error), sources)}") from None


def flag_of(name: str) -> str:
    """Return a setting's flag: `--api-key` for `api_key`."""
    return "--" + name.replace("_", "-")


def singular_of(name: str) -> str:
    """Return the spelling that takes one text: `secret` for `secrets`."""
    return name.removesuffix("s")


def _from_flags(flags: Mapping[str, object]) -> dict[str, _Raw]:
    given = {name: value for name, value in flags.items() if value is not None and value != ()}
    return _by_field(given, flag_of, "flag", typed=False)


def _from_environment(environ: Mapping[str, str]) -> dict[str, _Raw]:
    given = {
        variable.removeprefix(_PREFIX).lower(): value
        for variable, value in environ.items()
        if variable.startswith(_PREFIX)
        and variable not in EXTRA_VARIABLES
        and value
        and not _KUBERNETES.fullmatch(variable)
        and not (variable == "HEADRACE_PORT" and value.startswith("tcp://"))
    }
    return _by_field(given, lambda name: _PREFIX + name.upper(), "variable", typed=False)


def _from_file(path: str) -> dict[str, _Raw]:
    try:
        with open(path, "rb") as file:
            given = tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"the file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"the file {path} is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"the file {path} is not TOML: {error}") from None
    return _by_field(given, lambda name: name, f"key in {path}:", typed=True)


def _by_field(
    given: Mapping[str, object], spell: Callable[[str], str], kind: str, *, typed: bool
) -> dict[str, _Raw]:
    """Sort the values of one origin by field; refuse unknown names and a field given twice."""
    plurals = {singular_of(name): name for name in SEVERAL}
    found: dict[str, _Raw] = {}
    for name, value in given.items():
        source = f"{kind} {spell(name)}" if typed else spell(name)
        field = plurals.get(name, name)
        if field not in FIELDS:
            known = [spell(one) for one in (*FIELDS, *plurals)]
            raise ConfigError(f"there is no {kind} {spell(name)}{_nearest(spell(name), known)}")
        if field in found:
            raise ConfigError(f"{found[field].source} and {source} are both set; keep one of them")
        texts: object = value
        if field in SEVERAL and isinstance(value, str):
            texts = _split(value) if name == field else [value]
        found[field] = _Raw(texts, source, typed)
    return found


def _split(text: str) -> list[str]:
    return [part for part in re.split(r"[,\s]+", text) if part]


def _nearest(name: str, known: Iterable[str]) -> str:
    matches = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
    return f"; the nearest is {matches[0]}" if matches else ""


def _convert(name: str, raw: _Raw) -> Any:
    wanted = FIELDS[name].type
    try:
        value = msgspec.convert(raw.value, wanted, strict=raw.typed)
        # What the system could not decode from an argument or a variable has surrogates in it.
        ("".join(value) if isinstance(value, tuple) else str(value)).encode()
        usable = not isinstance(value, float) or math.isfinite(value)
    except (msgspec.ValidationError, UnicodeEncodeError):
        usable = False
    if not usable:
        shown = "not usable" if name in SECRET_FIELDS else ascii(raw.value)[:80]
        raise ConfigError(f"{raw.source} is {shown}; it must be {_expected(wanted)}")
    return value


def _expected(wanted: Any) -> str:
    """Say in words what a field's type takes."""
    kinds: dict[Any, str] = {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: "text in UTF-8",
        tuple[str, ...]: "a list of texts in UTF-8",
    }
    for kind in (wanted, *getattr(wanted, "__args__", ())):
        if kind in kinds:
            return kinds[kind]
    return "one of " + ", ".join(str(choice) for choice in wanted.__args__)


def _blame(text: str, sources: Mapping[str, str]) -> str:
    """Return where the settings that an error's text speaks of came from, in parentheses."""
    spoken_of = [
        f"{name} is from {source}"
        for name, source in sources.items()
        if re.search(rf"\b{singular_of(name)}s?\b", text)
    ]
    return f" ({', '.join(spoken_of)})" if spoken_of else ""


def complete(settings: Settings, *, new_key: Callable[[], str]) -> tuple[Settings, tuple[str, ...]]:
    """Return settings that have a secret and an API key, and the lines that tell of new ones.

    `new_key` makes a key, for what is missing. ConfigError where something is missing and `host`
    is not a loopback address: a key that only this start's output shows is for trying out alone.
    """
    variables = {"secrets": "HEADRACE_SECRET", "api_key": "HEADRACE_API_KEY"}
    called = {"secrets": "secret", "api_key": "API key"}
    missing = [name for name in variables if not getattr(settings, name)]
    if not missing:
        return settings, ()
    names = " and no ".join(called[name] for name in missing)
    if not is_loopback(settings.host):
        raise ConfigError(
            f"host is {settings.host!r}, which other machines can reach, but no {names} is set:"
            f" set {' and '.join(variables[name] for name in missing)} to what `headrace keygen`"
            " prints, or listen on 127.0.0.1"
        )
    made = {name: new_key() for name in missing}
    lines = [f"No {names} is set. Until this server stops:"]
    lines += [f"  {variables[name]}={key}" for name, key in made.items()]
    changes: dict[str, Any] = {
        name: (key,) if name in SEVERAL else key for name, key in made.items()
    }
    return msgspec.structs.replace(settings, **changes), tuple(lines)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach `host`: 127.0.0.0/8, ::1 or localhost."""
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def local_url(settings: Settings) -> str:
    """Return the base URL at which this machine reaches a server with these settings."""
    scheme = "https" if settings.tls_cert else "http"
    # The wildcard addresses are for listening only.
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104  # not bound
    if ":" in host:
        host = f"[{host}]"
    return f"{scheme}://{host}:{settings.port or FIELDS['port'].default}"


def describe(loaded: Loaded) -> list[tuple[str, str, str]]:
    """Return each setting's name, its value with secrets masked, and where it came from."""
    return [
        (name, _masked(name, getattr(loaded.settings, name)), loaded.sources.get(name, "default"))
        for name in FIELDS
    ]


def _masked(name: str, value: object) -> str:
    if value is None or value == ():
        return "-"
    if name in SECRET_FIELDS:
        keys = value if isinstance(value, tuple) else (value,)
        return ", ".join(f"({len(str(key).encode())} bytes)" for key in keys)
    text = ", ".join(value) if isinstance(value, tuple) else str(value)
    # A URL may carry a password.
    return re.sub(r"(?<=://)[^/@\s]+@", "…@", text)

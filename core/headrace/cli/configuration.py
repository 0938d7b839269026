"""Load the settings from flags, the environment and a TOML file, in this order of precedence.

Every field of `Settings` has three spellings, derived from its name: `--api-key`,
`HEADRACE_API_KEY`, `api_key = …`. A field that holds a list also has a singular spelling for one
text, which is used as it is (`--secret`, `HEADRACE_SECRET`, `secret = "…"`). The plural takes a
TOML list, or texts separated by commas or white space. An empty variable counts as not set.
"""

import difflib
import math
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from headrace.errors import ConfigError
from headrace.settings import FIELDS, SettingField, Settings

EXTRA_VARIABLES = frozenset({"HEADRACE_CONFIG", "HEADRACE_URL"})
"""Variables that are not settings: the TOML file's path, and the server that a command uses."""

_PREFIX = "HEADRACE_"
# Kubernetes sets these in each pod if a Service has the name "headrace".
_KUBERNETES = re.compile(r"HEADRACE_(SERVICE_(HOST|PORT)|PORT_\d+_(TCP|UDP|SCTP))(_[A-Z0-9_]+)?")


class LoadedSettings(NamedTuple):
    """The settings, and the source of each one that is not the default."""

    settings: Settings
    sources: dict[str, str]


class _RawValue(NamedTuple):
    """A value before its conversion; `is_typed` if it has a type, as in TOML."""

    value: object
    source: str
    is_typed: bool


def load_settings(
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    config_path: str | None = None,
) -> LoadedSettings:
    """Return the settings from `flags`, `environ` and the TOML file.

    The keys of `flags` are the settings' names, with underscores; the values None and () count as
    not given. The file is `config_path`, or the one that `HEADRACE_CONFIG` names. Raise
    ConfigError with the source of a value that cannot be used; the text never shows a secret.
    """
    config_path = config_path or environ.get("HEADRACE_CONFIG") or None
    layers = [
        _from_flags(flags),
        _from_environment(environ),
        _from_file(config_path) if config_path else {},
    ]
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name, field in FIELDS.items():
        for layer in layers:
            if raw := layer.get(name):
                values[name] = _convert(field, raw)
                sources[name] = raw.source
                break
    try:
        return LoadedSettings(Settings(**values), sources)
    except ConfigError as error:
        raise ConfigError(f"{error}{_mentioned_sources(str(error), sources)}") from None


def describe(loaded: LoadedSettings) -> list[tuple[str, str, str]]:
    """Return the name, the value and the source of each setting; secrets are masked."""
    return [
        (name, _shown(field, getattr(loaded.settings, name)), loaded.sources.get(name, "default"))
        for name, field in FIELDS.items()
    ]


def flag_of(name: str) -> str:
    """Return the flag of a setting: `--api-key` for `api_key`."""
    return "--" + name.replace("_", "-")


def variable_of(name: str) -> str:
    """Return the environment variable of a setting: `HEADRACE_API_KEY` for `api_key`."""
    return _PREFIX + name.upper()


def singular_of(name: str) -> str:
    """Return the spelling for one text: `secret` for `secrets`."""
    return name.removesuffix("s")


def _from_flags(flags: Mapping[str, object]) -> dict[str, _RawValue]:
    given = {name: value for name, value in flags.items() if value is not None and value != ()}
    return _by_field(given, flag_of, "flag", is_typed=False)


def _from_environment(environ: Mapping[str, str]) -> dict[str, _RawValue]:
    given = {
        variable.removeprefix(_PREFIX).lower(): value
        for variable, value in environ.items()
        if variable.startswith(_PREFIX)
        and variable not in EXTRA_VARIABLES
        and value
        and not _KUBERNETES.fullmatch(variable)
        and not (variable == "HEADRACE_PORT" and value.startswith("tcp://"))
    }
    return _by_field(given, variable_of, "variable", is_typed=False)


def _from_file(path: str) -> dict[str, _RawValue]:
    try:
        with open(path, "rb") as file:
            given = tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"the file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"the file {path} is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"the file {path} is not TOML: {error}") from None
    return _by_field(given, str, f"key in {path}:", is_typed=True)


def _by_field(
    given: Mapping[str, object], spell: Callable[[str], str], kind: str, *, is_typed: bool
) -> dict[str, _RawValue]:
    """Return the values of one source by field.

    Raise ConfigError for an unknown name, and for a field that is given in both spellings.
    """
    plurals = {singular_of(name): name for name, field in FIELDS.items() if field.is_list}
    found: dict[str, _RawValue] = {}
    for name, value in given.items():
        source = f"{kind} {spell(name)}" if is_typed else spell(name)
        field_name = plurals.get(name, name)
        if field_name not in FIELDS:
            known = [spell(one) for one in (*FIELDS, *plurals)]
            raise ConfigError(f"there is no {kind} {spell(name)}{_nearest(spell(name), known)}")
        if field_name in found:
            raise ConfigError(
                f"{found[field_name].source} and {source} are both set; keep one of them"
            )
        texts: object = value
        if FIELDS[field_name].is_list and isinstance(value, str):
            texts = _split(value) if name == field_name else [value]
        found[field_name] = _RawValue(texts, source, is_typed)
    return found


def _split(text: str) -> list[str]:
    return [part for part in re.split(r"[,\s]+", text) if part]


def _nearest(name: str, known: Iterable[str]) -> str:
    matches = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
    return f"; the nearest is {matches[0]}" if matches else ""


def _convert(field: SettingField, raw: _RawValue) -> Any:
    try:
        value = msgspec.convert(raw.value, field.kind, strict=raw.is_typed)
        # Bytes of an argument or a variable that are not UTF-8 were decoded as surrogates.
        ("".join(value) if isinstance(value, tuple) else str(value)).encode()
        is_usable = not isinstance(value, float) or math.isfinite(value)
    except (msgspec.ValidationError, UnicodeEncodeError):
        is_usable = False
    if not is_usable:
        shown = "not usable" if field.is_secret else ascii(raw.value)[:80]
        raise ConfigError(f"{raw.source} is {shown}; it must be {field.expected}")
    return value


def _mentioned_sources(text: str, sources: Mapping[str, str]) -> str:
    """Return the sources of the settings that an error text mentions, in parentheses."""
    mentioned = [
        f"{name} is from {source}"
        for name, source in sources.items()
        if re.search(rf"\b{singular_of(name)}s?\b", text)
    ]
    return f" ({', '.join(mentioned)})" if mentioned else ""


def _shown(field: SettingField, value: object) -> str:
    if value is None or value == ():
        return "-"
    if field.is_secret:
        keys = value if isinstance(value, tuple) else (value,)
        return ", ".join(f"({len(str(key).encode())} bytes)" for key in keys)
    text = ", ".join(value) if isinstance(value, tuple) else str(value)
    return re.sub(r"(?<=://)[^/@\s]+@", "…@", text)  # a URL may contain a password

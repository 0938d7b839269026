"""The settings of a server.

`cli/configuration.py` creates them from flags, the environment and a TOML file; an application
that embeds the server creates them directly. All values are checked on construction.
"""

import math
import re
import typing
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from headrace import limits
from headrace.errors import ConfigError


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of a server; the unit of a number is in its name."""

    host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[
        int, Meta(ge=0, le=65535, description="Port to listen on; 0: any free port, printed.")
    ] = 8080
    secrets: Annotated[
        tuple[str, ...],
        Meta(description="Key that signs tokens, 32 bytes or more. The first signs, all verify."),
    ] = ()
    api_key: Annotated[
        str | None, Meta(description="Bearer key of the routes for the application.")
    ] = None
    allowed_origins: Annotated[
        tuple[str, ...],
        Meta(
            description="Origin whose pages may connect and post, besides the server's own;"
            " * for all."
        ),
    ] = ()
    app_url: Annotated[
        str | None, Meta(description="Base URL that receives presence notices and update-messages.")
    ] = None
    message_max_bytes: Annotated[
        int, Meta(ge=1, description="Longest message, in bytes of UTF-8.")
    ] = 32768
    client_id_max_bytes: Annotated[
        int, Meta(ge=1, description="Longest client ID, in bytes of UTF-8.")
    ] = 256
    ring_max_messages: Annotated[
        int, Meta(ge=1, description="Messages that may wait for a slow session.")
    ] = 1024
    ring_max_bytes: Annotated[
        int, Meta(ge=1, description="Bytes that may wait for a slow session.")
    ] = 1024 * 1024
    slow_consumer: Annotated[
        Literal["close", "drop-oldest"],
        Meta(description="What happens to a session over those limits."),
    ] = "close"
    history_max_bytes: Annotated[
        int, Meta(ge=0, description="Bytes of messages kept for reconnecting clients.")
    ] = 64 * 1024 * 1024
    history_max_age_s: Annotated[
        float, Meta(ge=0, description="Seconds that messages are kept for reconnecting clients.")
    ] = 120.0
    sessions_per_client: Annotated[
        int, Meta(ge=1, description="Sessions of one client; over it, the oldest is closed.")
    ] = 16
    max_connections: Annotated[
        int | None,
        Meta(
            ge=1,
            description="Connections in total; over it, 503. The default depends on the limit of"
            " file descriptors.",
        ),
    ] = None
    ping_interval_s: Annotated[
        float, Meta(ge=0.1, description="Seconds without a message after which a ping is sent.")
    ] = 25.0
    drain_s: Annotated[
        float, Meta(ge=0, description="Seconds over which a shutdown disconnects the clients.")
    ] = 30.0
    stop_timeout_s: Annotated[
        float, Meta(ge=0, description="Seconds after which a shutdown is cut short.")
    ] = 60.0
    presence_grace_s: Annotated[
        float,
        Meta(ge=0, description="Seconds without a session until a client counts as disconnected."),
    ] = 2.0
    write_timeout_s: Annotated[
        float, Meta(ge=0.1, description="Seconds until a client that reads nothing is aborted.")
    ] = 60.0
    notice_max_attempts: Annotated[
        int, Meta(ge=1, description="Tries of a notice to which app_url responds with an error.")
    ] = 10
    state_dir: Annotated[
        str | None, Meta(description="Directory that keeps the history across a planned restart.")
    ] = None
    tls_cert: Annotated[
        str | None,
        Meta(
            description="PEM file with the certificate chain; with --tls-key, the server uses TLS."
        ),
    ] = None
    tls_key: Annotated[
        str | None, Meta(description="PEM file with the certificate's private key.")
    ] = None

    admin_listen: Annotated[
        str | None,
        Meta(
            description="Second address (host:port) for the application's API, health and metrics;"
            " then the first one serves clients alone."
        ),
    ] = None

    def __post_init__(self) -> None:
        """Raise ConfigError with the name of the first setting that cannot be used."""
        for field in FIELDS.values():
            value = getattr(self, field.name)
            if not (value is None and field.is_optional):
                _check_type(field, value)
                _check_bounds(field, value)
                if isinstance(value, list):
                    msgspec.structs.force_setattr(self, field.name, tuple(value))
        for number, secret in enumerate(self.secrets, start=1):
            _check_secret(number, secret)
        if self.api_key == "":
            raise ConfigError("api_key is empty; leave it out or set one: `headrace keygen`")
        if self.app_url is not None and not is_base_url(self.app_url):
            raise ConfigError(  # do not show it: it may contain a password
                "app_url is not a base URL: it must be like https://app.example.com or"
                " http://127.0.0.1:8000/base, in ASCII, without a query"
            )
        if self.admin_listen is not None:
            parse_address(self.admin_listen)
        if (self.tls_cert is None) != (self.tls_key is None):
            given, missing = ("tls_cert", "tls_key")
            if self.tls_cert is None:
                given, missing = missing, given
            raise ConfigError(f"{given} is set but {missing} is not; TLS needs both")


class SettingField(NamedTuple):
    """A field of `Settings`.

    `kind` is `int`, `float`, `str`, a tuple type of `str`, or a Literal; `minimum` and `maximum`
    are None if there is no such bound.
    """

    name: str
    kind: Any
    is_optional: bool
    default: Any
    description: str
    minimum: float | None
    maximum: float | None

    @property
    def is_secret(self) -> bool:
        """True if the value must not be shown."""
        return self.name in ("secrets", "api_key")

    @property
    def is_list(self) -> bool:
        """True for a tuple of strings."""
        return typing.get_origin(self.kind) is tuple

    @property
    def choices(self) -> tuple[str, ...]:
        """The values of a Literal; empty for another kind."""
        return typing.get_args(self.kind) if typing.get_origin(self.kind) is Literal else ()

    @property
    def expected(self) -> str:
        """The kind in words."""
        if self.is_list:
            return "a list of texts in UTF-8"
        if self.choices:
            return "one of " + ", ".join(self.choices)
        return {int: "a whole number", float: "a number", str: "text in UTF-8"}[self.kind]


def is_base_url(text: str) -> bool:
    """Return True if `text` is `http://` or `https://`, a host, and optionally a port and a path.

    All characters are visible ASCII; a query or a fragment is not allowed.
    """
    try:
        parts = urlsplit(text)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except (
        ValueError
    ):  # the port is not a number, or the brackets of an IPv6 address are not closed
        return False
    return is_usable and _VISIBLE.fullmatch(text) is not None and not ("?" in text or "#" in text)


def parse_address(text: str) -> tuple[str, int]:
    """Return the host and the port in `host:port`; raise ConfigError if `admin_listen` is not so.

    An IPv6 address is in brackets.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match["port"]) > _PORT_MAX:
        raise ConfigError(
            f"admin_listen is {text[:80]!r}; it must be host:port, such as 127.0.0.1:8081 or"
            " [::1]:8081"
        )
    return match["ipv6"] or match["host"], int(match["port"])


_VISIBLE = re.compile(r"[!-~]+")
_ADDRESS = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s\[\]:]+)):(?P<port>[0-9]{1,5})"
)
_PORT_MAX = 65535


def _field(info: msgspec.structs.FieldInfo) -> SettingField:
    kind = typing.get_args(info.type)[0]
    (meta,) = info.type.__metadata__
    is_optional = type(None) in typing.get_args(kind)
    if is_optional:
        kind = typing.get_args(kind)[0]
    return SettingField(
        info.name, kind, is_optional, info.default, meta.description, meta.ge, meta.le
    )


FIELDS: dict[str, SettingField] = {
    info.name: _field(info) for info in msgspec.structs.fields(Settings)
}
"""The settings by name, in the order in which they are shown."""


def _check_type(field: SettingField, value: object) -> None:
    """Raise ConfigError if the value has the wrong type: msgspec does not check on construction."""
    if field.is_list:
        _check_texts(field, value)
    elif field.choices:
        if value not in field.choices:
            choices = " or ".join(map(repr, field.choices))
            raise ConfigError(f"{field.name} is {value!r}; it must be {choices}")
    else:
        kinds = (int, float) if field.kind is float else field.kind
        if not isinstance(value, kinds) or isinstance(value, bool):
            shown = type(value).__name__ if field.is_secret else ascii(value)[:80]
            raise ConfigError(f"{field.name} is {shown}; it must be {field.expected}")


def _check_texts(field: SettingField, values: object) -> None:
    one = field.name.removesuffix("s")
    if isinstance(values, (str, bytes)):
        kind, text = ("text", one) if isinstance(values, str) else ("bytes", f"{one}.decode()")
        raise ConfigError(
            f"{field.name} is {kind}; it must be a tuple of texts: {field.name}=({text},)"
        )
    if not isinstance(values, (tuple, list)):
        raise ConfigError(
            f"{field.name} is {type(values).__name__}; it must be a tuple of texts:"
            f" {field.name}=({one},)"
        )
    for index, value in enumerate(values):
        if not isinstance(value, str):
            fix = f": {one}.decode()" if isinstance(value, bytes) else ""
            raise ConfigError(
                f"{field.name}[{index}] is {type(value).__name__}; it must be text{fix}"
            )


def _check_bounds(field: SettingField, value: Any) -> None:
    if field.minimum is None:
        return
    if field.maximum is not None:
        if not field.minimum <= value <= field.maximum:
            raise ConfigError(
                f"{field.name} is {value}; it must be {field.minimum} to {field.maximum}"
            )
    elif value < field.minimum:
        raise ConfigError(f"{field.name} is {value}; it must be at least {field.minimum}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{field.name} is {value}; it must be a finite number")


def _check_secret(number: int, secret: str) -> None:
    """Raise ConfigError if a secret cannot be used; the text does not show it."""
    try:
        size_bytes = len(secret.encode())
    except UnicodeEncodeError:
        raise ConfigError(f"secret {number} is not UTF-8; `headrace keygen` makes one") from None
    if size_bytes < limits.SECRET_MIN_BYTES:
        raise ConfigError(
            f"secret {number} is {size_bytes} bytes long; it must be at least"
            f" {limits.SECRET_MIN_BYTES}: `headrace keygen` makes one"
        )

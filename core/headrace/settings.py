"""The settings of a server, as one value.

`config.py` makes it from flags, the environment and a TOML file; an embedding application makes
it itself. Every field is checked in `__post_init__`, so a `Settings` that exists can be used.
"""

import math
import re
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from headrace import limits
from headrace.errors import ConfigError


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the operator chose; units are in the names, meanings in the contract's table."""

    host: str = "127.0.0.1"
    port: int = 8080
    secrets: tuple[str, ...] = ()
    api_key: str | None = None
    allowed_origins: tuple[str, ...] = ()
    app_url: str | None = None
    message_max_bytes: int = 32768
    client_id_max_bytes: int = 256
    ring_max_messages: int = 1024
    ring_max_bytes: int = 1024 * 1024
    slow_consumer: Literal["close", "drop-oldest"] = "close"
    history_max_bytes: int = 64 * 1024 * 1024
    history_max_age_s: float = 120.0
    sessions_per_client: int = 16
    max_connections: int | None = None
    ping_interval_s: float = 25.0
    drain_s: float = 30.0
    presence_grace_s: float = 2.0
    write_timeout_s: float = 60.0
    state_dir: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None

    def __post_init__(self) -> None:
        """Raise ConfigError that names the first setting that cannot be used."""
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"port is {self.port}; it must be 0 (any free port) to 65535")
        for number, secret in enumerate(self.secrets, start=1):
            try:
                size_bytes = len(secret.encode())
            except UnicodeEncodeError:
                raise ConfigError(
                    f"secret {number} is not UTF-8; `headrace keygen` makes one"
                ) from None
            if size_bytes < limits.SECRET_MIN_BYTES:
                raise ConfigError(
                    f"secret {number} is {size_bytes} bytes long; it must be at least"
                    f" {limits.SECRET_MIN_BYTES}: `headrace keygen` makes one"
                )
        if self.api_key == "":
            raise ConfigError("api_key is empty; leave it out or set one: `headrace keygen`")
        if self.app_url is not None and not _is_base_url(self.app_url):
            raise ConfigError(  # not shown: it may hold a password
                "app_url is no base URL: it must be like https://app.example.com or"
                " http://127.0.0.1:8000/base, in ASCII, without a query"
            )
        for name, lowest in _LOWEST.items():
            value = getattr(self, name)
            if value is None:
                continue
            if value < lowest:
                raise ConfigError(f"{name} is {value}; it must be at least {lowest}")
            if not math.isfinite(value):
                raise ConfigError(f"{name} is {value}; it must be a finite number")
        if self.slow_consumer not in ("close", "drop-oldest"):
            raise ConfigError(
                f"slow_consumer is {self.slow_consumer!r}; it must be 'close' or 'drop-oldest'"
            )
        if (self.tls_cert is None) != (self.tls_key is None):
            given, missing = ("tls_cert", "tls_key")
            if self.tls_cert is None:
                given, missing = missing, given
            raise ConfigError(f"{given} is set but {missing} is not; TLS needs both")


def _is_base_url(text: str) -> bool:
    """Tell whether `text` is `http://` or `https://`, a host, perhaps a port and a path."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is no number, or the brackets of an IPv6 address are open
        return False
    return usable and _VISIBLE.fullmatch(text) is not None and not ("?" in text or "#" in text)


_VISIBLE = re.compile(r"[!-~]+")

_LOWEST: dict[str, float] = {
    "message_max_bytes": 1,
    "client_id_max_bytes": 1,
    "ring_max_messages": 1,
    "ring_max_bytes": 1,
    "history_max_bytes": 0,
    "history_max_age_s": 0,
    "sessions_per_client": 1,
    "max_connections": 1,
    "ping_interval_s": 0.1,
    "drain_s": 0,
    "presence_grace_s": 0,
    "write_timeout_s": 0.1,
}

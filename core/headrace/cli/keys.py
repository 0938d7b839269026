"""The secret and the API key: generate them, require them, and sign tokens."""

import ipaddress
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any

import click
import msgspec

from headrace import limits
from headrace.auth.tokens import TokenSigner
from headrace.errors import ConfigError, InputError
from headrace.settings import Settings

SECRET_VARIABLE = "HEADRACE_SECRET"  # noqa: S105  # a name
API_KEY_VARIABLE = "HEADRACE_API_KEY"


def new_key() -> str:
    """Return 32 random bytes in base64url: no shell and no file format needs it quoted."""
    return secrets.token_urlsafe(32)


def with_generated_keys(
    settings: Settings, *, new_key: Callable[[], str] = new_key
) -> tuple[Settings, tuple[str, ...]]:
    """Return settings that have a secret and an API key, and lines to print about new keys.

    Raise ConfigError if a key is missing and `host` is not a loopback address: the new keys are
    only valid until the process ends, so they are only for a trial.
    """
    lines: list[str] = []
    changes: dict[str, Any] = {}
    missing: list[tuple[str, str]] = []
    if not settings.secrets:
        missing.append(("secret", SECRET_VARIABLE))
        changes["secrets"] = (new_key(),)
        lines.append(f"export {SECRET_VARIABLE}={changes['secrets'][0]}")
    if not settings.api_key:
        missing.append(("API key", API_KEY_VARIABLE))
        changes["api_key"] = new_key()
        lines.append(f"export {API_KEY_VARIABLE}={changes['api_key']}")
    if not missing:
        return settings, ()
    names = " and no ".join(name for name, _ in missing)
    if not is_loopback(settings.host):
        raise ConfigError(
            f"host is {settings.host!r}, which other machines can reach, but no {names} is set:"
            f" set {' and '.join(variable for _, variable in missing)} to what `headrace keygen`"
            " prints, or listen on 127.0.0.1"
        )
    lines.insert(
        0,
        f"No {names} is set: generated what is missing, valid until the server stops. To send and"
        " listen from another terminal, run there:",
    )
    return msgspec.structs.replace(settings, **changes), tuple(lines)


def is_loopback(host: str) -> bool:
    """Return True if only this machine can reach `host`: 127.0.0.0/8, ::1 or localhost."""
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def mint_token(
    settings: Settings,
    client_id: str,
    minutes: int = limits.TOKEN_DEFAULT_MINUTES,
    groups: Sequence[str] = (),
    send: Sequence[str] = (),
) -> str:
    """Return a token that is signed with the first secret.

    Raise ConfigError if there is none, click's UsageError if an argument cannot be used.
    """
    if not settings.secrets:
        raise ConfigError(
            "no secret is set, and a token needs the server's: give --secret, HEADRACE_SECRET or"
            " --config"
        )
    signer = TokenSigner(
        [secret.encode() for secret in settings.secrets],
        client_id_max_bytes=settings.client_id_max_bytes,
    )
    try:
        minted = signer.mint(client_id, now=time.time(), minutes=minutes, groups=groups, send=send)
    except InputError as error:
        raise click.UsageError(str(error)) from None
    return minted.token

"""The settings as flags of a command, made from the fields of `Settings`."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import click

from headrace import config, limits
from headrace.errors import ConfigError, RequestError
from headrace.tokens import TokenSigner

_Function = TypeVar("_Function", bound=Callable[..., Any])

CONFIGURATION = """\b
Every setting has three spellings, and the first that is given counts:
  a flag                               --api-key KEY
  a variable                           HEADRACE_API_KEY=KEY
  a line in the TOML file of --config  api_key = "KEY"
Give keys as variables or in the file: a flag shows in the list of processes.
"""
"""The end of a help text."""


class ConfigFailure(click.ClickException):
    """A configuration that cannot be used: exit code 2, as for wrong usage."""

    exit_code = 2


def settings_flags(*names: str) -> Callable[[_Function], _Function]:
    """Give a command the flags of these settings and `--config`.

    Its function takes them as keywords, to be handed on to `load` in one piece.
    """

    def decorate(function: _Function) -> _Function:
        for name in reversed(names):
            for add in _options(name):
                function = add(function)
        add = click.option(
            "--config",
            metavar="FILE",
            help="TOML file with settings. [variable: HEADRACE_CONFIG]",
        )
        return add(function)

    return decorate


def _options(name: str) -> Iterator[Callable[[_Function], _Function]]:
    """Make a setting's flags. They take text: what is right is for `load_settings` to say."""
    field = config.FIELDS[name]
    meaning = config.MEANINGS.get(name, "")
    if name in config.SEVERAL:
        # One text each, and hidden beside it the plural, which takes them all in one.
        yield click.option(config.flag_of(name), name, hidden=True)
        one = config.singular_of(name)
        help_text = f"{meaning} [repeatable]"
        yield click.option(config.flag_of(one), one, multiple=True, metavar="TEXT", help=help_text)
        return
    kinds = getattr(field.type, "__args__", (field.type,))
    if str in kinds:
        metavar = "TEXT"
    elif isinstance(kinds[0], str):
        metavar = f"[{'|'.join(kinds)}]"
    else:
        metavar = "NUMBER"
    default = "" if field.default is None else f" [default: {field.default}]"
    yield click.option(config.flag_of(name), name, metavar=metavar, help=meaning + default)


def load(flags: dict[str, object]) -> config.Loaded:
    """Return the settings that a command's flags, the environment and the file give."""
    path = flags.pop("config")
    return config.load_settings(flags, os.environ, path if isinstance(path, str) else None)


def mint_token(
    loaded: config.Loaded,
    client_id: str,
    minutes: int = limits.TOKEN_DEFAULT_MINUTES,
    groups: Sequence[str] = (),
    send: Sequence[str] = (),
) -> str:
    """Return a token signed with the configured secret.

    ConfigError where there is none, click's UsageError for a client ID, group or target that
    cannot be.
    """
    settings = loaded.settings
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
    except RequestError as error:
        raise click.UsageError(error.detail) from None
    return minted.token

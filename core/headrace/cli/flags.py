"""The settings as flags of a command, derived from the fields of `Settings`."""

import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import click

from headrace.cli.configuration import LoadedSettings, flag_of, load_settings, singular_of
from headrace.settings import FIELDS

_Function = TypeVar("_Function", bound=Callable[..., Any])

CONFIGURATION_HELP = """\b
A setting can be given in three ways, in this order of precedence:
  a flag                               --api-key KEY
  a variable                           HEADRACE_API_KEY=KEY
  a line in the TOML file of --config  api_key = "KEY"
Give keys as variables or in the file: the list of processes shows flags.
"""
"""The end of a command's help text."""


class ConfigFailure(click.ClickException):
    """A configuration that cannot be used; the exit code is 2, as for wrong usage."""

    exit_code = 2


def settings_flags(*names: str) -> Callable[[_Function], _Function]:
    """Add the flags of these settings, and `--config`, to a command.

    The command's function passes them as one dict to `load`.
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


def load(flags: dict[str, object]) -> LoadedSettings:
    """Return the settings from a command's flags, the environment and the TOML file."""
    flags = flags.copy()
    path = flags.pop("config")
    return load_settings(flags, os.environ, path if isinstance(path, str) else None)


def _options(name: str) -> Iterator[Callable[[_Function], _Function]]:
    """Yield the flags of a setting. Their values are texts, which `load_settings` converts."""
    field = FIELDS[name]
    if field.is_list:
        # The flag in the help takes one text; the plural takes all and is hidden.
        yield click.option(flag_of(name), name, hidden=True)
        one = singular_of(name)
        help_text = f"{field.description} [repeatable]"
        yield click.option(flag_of(one), one, multiple=True, metavar="TEXT", help=help_text)
        return
    if field.choices:
        metavar = f"[{'|'.join(field.choices)}]"
    else:
        metavar = "TEXT" if field.kind is str else "NUMBER"
    default = "" if field.default is None else f" [default: {field.default}]"
    yield click.option(flag_of(name), name, metavar=metavar, help=field.description + default)

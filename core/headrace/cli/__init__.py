"""The `headrace` command.

Exit codes: 0 success, 1 a request failed, 2 wrong usage or configuration. Errors are one line on
stderr; stdout has only results.
"""

from typing import Any

import click

from headrace.cli import client_commands as client
from headrace.cli import server_commands as server
from headrace.cli.flags import CONFIGURATION_HELP, ConfigFailure
from headrace.errors import ConfigError
from headrace.version import __version__

__all__ = ["main"]

_EXAMPLES = """\b
A demo:
  headrace serve --demo                a chat room; the server generates its keys
\b
With keys of your own:
  headrace keygen --export > headrace.env
  . ./headrace.env                     in each terminal
  headrace serve
\b
In another terminal:
  headrace listen alice                print the messages to the client alice
  headrace send alice 'Hello'          send one
"""


class _Commands(click.Group):
    """Turns ConfigError into a line on stderr and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            raise ConfigFailure(str(error)) from None


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EXAMPLES + "\n" + CONFIGURATION_HELP,
)
@click.version_option(__version__, "-V", "--version", prog_name="headrace")
def main() -> None:
    """Push messages to JavaScript clients in real time."""


for _command in (
    server.serve,
    server.check_config,
    server.keygen,
    server.token,
    client.send,
    client.listen,
):
    main.add_command(_command)

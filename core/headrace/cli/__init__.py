"""The `headrace` command.

Exit codes: 0 done, 1 a request that failed, 2 wrong usage or configuration. What goes wrong is
said in a line on stderr; only results go to stdout.
"""

from typing import Any

import click

from headrace.cli import client, server
from headrace.cli.flags import CONFIGURATION, ConfigFailure
from headrace.errors import ConfigError
from headrace.version import __version__

__all__ = ["main"]

_EXAMPLES = """\b
To try it out:
  headrace serve --demo                a server with made-up keys, and a chat room to open
\b
To put it into service:
  headrace keygen --env > headrace.env
  headrace serve                       with the variables of headrace.env set
  headrace send alice 'Hello'          a message to the client alice
  headrace listen alice                what alice's page gets
"""


class _Commands(click.Group):
    """Turns a configuration that cannot be used into a line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            raise ConfigFailure(str(error)) from None


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EXAMPLES + "\n" + CONFIGURATION,
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

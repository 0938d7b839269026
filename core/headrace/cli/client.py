"""The commands that talk to a running server: send, listen."""

import asyncio
import os
import re
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click
import msgspec

from headrace import config
from headrace.cli.flags import CONFIGURATION, load, mint_token, settings_flags
from headrace.errors import ConfigError, RequestError, TokenError

_Result = TypeVar("_Result")

_EXAMPLES = """\b
headrace send alice 'Your order is ready'
headrace send --group lobby - < news.txt
"""

_url_option = click.option(
    "--url",
    help="Base URL of the server. [variable: HEADRACE_URL; default: from host and port]",
)


@click.command(short_help="Send a message.", epilog=_EXAMPLES + "\n" + CONFIGURATION)
@click.argument("words", nargs=-1, metavar="[CLIENT_ID] MESSAGE")
@click.option("--group", metavar="NAME", help="Send to a group instead of one client.")
@click.option("--everyone", is_flag=True, help="Send to every client instead of one.")
@_url_option
@settings_flags("api_key")
def send(
    words: tuple[str, ...], group: str | None, everyone: bool, url: str | None, **flags: object
) -> None:
    """Send MESSAGE to the client CLIENT_ID; print its id and the number of sessions it went to.

    MESSAGE - is read from standard input, less one line end. Nobody connected is no error: the
    message waits in the history.
    """
    _check_utf8(*words, group or "")
    target, message = _target_and_message(words, group, everyone)
    data = _read_stdin() if message == "-" else message
    loaded = load(flags)
    base_url = _base_url(url, loaded)
    api_key = _api_key(loaded)
    from headrace.client import Client

    with Client(base_url, api_key, retry_s=0) as client:
        sent = _talk(base_url, lambda: client.send(data, **target))
    click.echo(f"id={sent.id} sessions={sent.sessions}")


def _target_and_message(
    words: tuple[str, ...], group: str | None, everyone: bool
) -> tuple[dict[str, Any], str]:
    """Tell the arguments of `send` apart; UsageError where they do not fit together."""
    if group is not None and everyone:
        raise click.UsageError("--group and --everyone exclude each other")
    if group is not None or everyone:
        if len(words) != 1:
            raise click.UsageError(
                f"with --group or --everyone there is one argument, MESSAGE; got {len(words)}"
            )
        return {"everyone": True} if everyone else {"group": group}, words[0]
    if len(words) != 2:
        raise click.UsageError(
            f"there are two arguments, CLIENT_ID and MESSAGE; got {len(words)} (quote a message"
            " that has spaces)"
        )
    return {"to": words[0]}, words[1]


def _read_stdin() -> str:
    try:
        text = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise click.UsageError(f"standard input is not UTF-8, at byte {error.start}") from None
    return text.removesuffix("\n").removesuffix("\r")


@click.command(short_help="Print the messages to a client.", epilog=CONFIGURATION)
@click.argument("client_id", required=False)
@click.option("--token", "given_token", metavar="TOKEN", help="Listen with this token.")
@click.option("--group", "groups", multiple=True, metavar="NAME", help="Join a group. [repeatable]")
@click.option("--json", "as_json", is_flag=True, help="Print each message as JSON, with its id.")
@_url_option
@settings_flags("secrets", "api_key")
def listen(
    client_id: str | None,
    given_token: str | None,
    groups: tuple[str, ...],
    as_json: bool,
    url: str | None,
    **flags: object,
) -> None:
    """Print each message to the client CLIENT_ID, a line each, until interrupted.

    The token is signed here where the secret is set, else asked of the server with the API key;
    or give one with --token. A lost connection comes back and goes on after the last message.
    """
    if (client_id is None) == (given_token is None):
        raise click.UsageError("give either CLIENT_ID or --token TOKEN")
    if given_token is not None and not re.fullmatch(r"[\w.-]+", given_token, re.ASCII):
        raise click.UsageError("--token is no token: it has characters that no token has")
    if given_token is not None and groups:
        raise click.UsageError("--group needs CLIENT_ID: the groups of --token are within it")
    _check_utf8(client_id or "", *groups)
    loaded = load(flags)
    base_url = _base_url(url, loaded)
    source = _token_source(given_token, client_id or "", groups, loaded)
    api_key = _api_key(loaded) if "client_id" in source else None
    try:
        _talk(base_url, lambda: asyncio.run(_print_messages(base_url, api_key, source, as_json)))
    except KeyboardInterrupt:
        sys.exit(130)  # as a shell says of a program that SIGINT ended


def _token_source(
    given_token: str | None, client_id: str, groups: tuple[str, ...], loaded: config.Loaded
) -> dict[str, Any]:
    """Return the arguments that tell `AsyncClient.listen` how to come by a token."""
    if given_token is not None:
        return {"token": given_token}
    if not loaded.settings.secrets:
        return {"client_id": client_id, "groups": groups}
    mint_token(loaded, client_id, groups=groups)  # a wrong argument is told of before connecting

    async def mint() -> str:
        return mint_token(loaded, client_id, groups=groups)

    return {"token": mint}


async def _print_messages(
    base_url: str, api_key: str | None, source: dict[str, Any], as_json: bool
) -> None:
    from headrace.client import AsyncClient, Incident

    def tell(incident: Incident) -> None:
        click.echo(incident.text, err=True)

    async with (
        AsyncClient(base_url, api_key, retry_s=0) as client,
        client.listen(**source, on_incident=tell) as messages,
    ):
        async for message in messages:
            # As bytes: whatever the terminal's encoding is, the data is UTF-8.
            click.echo(msgspec.json.encode(message) if as_json else message.data.encode())


def _check_utf8(*arguments: str) -> None:
    try:
        "".join(arguments).encode()
    except UnicodeEncodeError:
        raise click.UsageError("an argument is not UTF-8") from None


def _base_url(url: str | None, loaded: config.Loaded) -> str:
    from headrace.client.address import check_base_url

    if url is not None:
        return check_base_url(url, "--url")
    if variable := os.environ.get("HEADRACE_URL"):
        return check_base_url(variable, "HEADRACE_URL")
    return config.local_url(loaded.settings)


def _api_key(loaded: config.Loaded) -> str:
    if loaded.settings.api_key is None:
        raise ConfigError(
            "no API key is set, and the server asks for its own: give --api-key, HEADRACE_API_KEY"
            " or --config"
        )
    return loaded.settings.api_key


def _talk(base_url: str, converse: Callable[[], _Result]) -> _Result:
    """Talk with a server, and say so where it cannot be reached."""
    try:
        return converse()
    except BrokenPipeError:
        raise  # stdout's: click ends quietly
    except OSError as error:
        raise click.ClickException(
            f"cannot reach {base_url}: {error}; is that the right --url (HEADRACE_URL), and is"
            " `headrace serve` running there?"
        ) from None
    except TokenError as error:
        raise click.ClickException(f"{base_url} refused the token: {error}") from None
    except RequestError as error:
        hint = "; is the API key the server's?" if error.status == 401 else ""
        raise click.ClickException(f"{base_url} refused: {error.detail}{hint}") from None

"""The commands that talk to a running server: send, listen."""

import asyncio
import os
import re
import sys
from collections.abc import Coroutine, Mapping
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
    target, message = _target_and_message(words, group, everyone)
    data = _read_stdin() if message == "-" else message
    loaded = load(flags)
    base_url = _base_url(url, loaded)
    answer = _talk(base_url, _post(base_url, "/v1/send", loaded, {**target, "data": data}))
    click.echo(f"id={answer.get('id')} sessions={answer.get('sessions')}")


def _target_and_message(
    words: tuple[str, ...], group: str | None, everyone: bool
) -> tuple[dict[str, object], str]:
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
    loaded = load(flags)
    base_url = _base_url(url, loaded)

    async def fetch_token() -> str:
        if given_token is not None:
            return given_token
        if loaded.settings.secrets:
            return mint_token(loaded, client_id or "", groups=groups)
        body = {"client_id": client_id, "groups": groups}
        answer = await _post(base_url, "/v1/channels", loaded, body)
        return str(answer.get("token"))

    from headrace.listen import Frame, Listener

    def show(frame: Frame) -> None:
        # As bytes: whatever the terminal's encoding is, the data is UTF-8.
        click.echo(msgspec.json.encode(frame) if as_json else frame.data.encode())

    def notice(line: str) -> None:
        click.echo(line, err=True)

    listener = Listener(base_url, fetch_token, on_message=show, on_notice=notice)
    try:
        _talk(base_url, listener.run())
    except KeyboardInterrupt:
        sys.exit(130)  # as a shell says of a program that SIGINT ended


def _base_url(url: str | None, loaded: config.Loaded) -> str:
    from headrace.api_client import check_base_url

    if url is not None:
        return check_base_url(url, "--url")
    if variable := os.environ.get("HEADRACE_URL"):
        return check_base_url(variable, "HEADRACE_URL")
    return config.local_url(loaded.settings)


async def _post(
    base_url: str, path: str, loaded: config.Loaded, body: Mapping[str, object]
) -> dict[str, object]:
    from headrace.api_client import post

    api_key = loaded.settings.api_key
    if api_key is None:
        raise ConfigError(
            "no API key is set, and the server asks for its own: give --api-key, HEADRACE_API_KEY"
            " or --config"
        )
    return await post(base_url, path, api_key, body)


def _talk(base_url: str, conversation: Coroutine[Any, Any, _Result]) -> _Result:
    """Run a conversation with a server, and say so where it cannot be reached."""
    try:
        return asyncio.run(conversation)
    except BrokenPipeError:
        raise  # stdout's: click ends quietly
    except UnicodeEncodeError:
        raise click.UsageError("an argument is not UTF-8") from None
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

"""The commands that connect to a running server: send, listen."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import click
import msgspec

from headrace.cli.flags import CONFIGURATION_HELP, load, settings_flags
from headrace.cli.keys import mint_token
from headrace.errors import ConfigError, InputError, RequestError, TokenError
from headrace.settings import FIELDS, Settings

_Result = TypeVar("_Result")

_EXAMPLES = """\b
headrace send alice 'Your order is ready'
headrace send --group lobby - < news.txt
"""

_url_option = click.option(
    "--url",
    help="Base URL of the server. [variable: HEADRACE_URL; default: from host and port]",
)


@click.command(short_help="Send a message.", epilog=_EXAMPLES + "\n" + CONFIGURATION_HELP)
@click.argument("words", nargs=-1, metavar="[CLIENT_ID] MESSAGE")
@click.option("--group", metavar="NAME", help="Send to a group instead of one client.")
@click.option("--everyone", is_flag=True, help="Send to every client instead of one.")
@_url_option
@settings_flags("api_key")
def send(
    words: tuple[str, ...], group: str | None, everyone: bool, url: str | None, **flags: object
) -> None:
    """Send MESSAGE to the client CLIENT_ID; print its id and the number of sessions it went to.

    If MESSAGE is -, it is read from standard input, without a final line break. It is not an error
    if the client is not connected: the history keeps the message.
    """
    _check_utf8(*words, group or "")
    target, message = _target_and_message(words, group, everyone)
    data = _read_stdin() if message == "-" else message
    settings = load(flags).settings
    base_url = _base_url(url, settings)
    api_key = _api_key(settings)
    from headrace.client import Client

    with Client(base_url, api_key, retry_s=0) as client:
        sent = _with_exit_codes(base_url, lambda: client.send(data, **target))
    click.echo(f"id={sent.id} sessions={sent.sessions}")


def _target_and_message(
    words: tuple[str, ...], group: str | None, everyone: bool
) -> tuple[dict[str, Any], str]:
    """Return the target and the message of `send`; raise UsageError if they are ambiguous."""
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
            " that contains spaces)"
        )
    return {"to": words[0]}, words[1]


def _read_stdin() -> str:
    try:
        text = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise click.UsageError(f"standard input is not UTF-8, at byte {error.start}") from None
    return text.removesuffix("\n").removesuffix("\r")


@click.command(short_help="Print the messages to a client.", epilog=CONFIGURATION_HELP)
@click.argument("client_id", required=False)
@click.option("--token", "given_token", metavar="TOKEN", help="Use this token.")
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
    """Print each message to the client CLIENT_ID on a line, until SIGINT (exit code 130).

    The token is signed with the secret if that is set, otherwise requested from the server with
    the API key; or give one with --token. After a lost connection it reconnects and resumes.
    """
    if (client_id is None) == (given_token is None):
        raise click.UsageError("give either CLIENT_ID or --token TOKEN")
    if given_token is not None and not re.fullmatch(r"[\w.-]+", given_token, re.ASCII):
        raise click.UsageError("--token is not a token: it has a character that no token has")
    if given_token is not None and groups:
        raise click.UsageError("--group needs CLIENT_ID: a token contains its groups")
    _check_utf8(client_id or "", *groups)
    settings = load(flags).settings
    base_url = _base_url(url, settings)
    source = _token_source(given_token, client_id or "", groups, settings)
    api_key = _api_key(settings) if "client_id" in source else None
    printing = _print_messages(base_url, api_key, source, as_json)
    _with_exit_codes(base_url, lambda: _run_until_interrupted(printing))


def _token_source(
    given_token: str | None, client_id: str, groups: tuple[str, ...], settings: Settings
) -> dict[str, Any]:
    """Return the arguments for `AsyncClient.listen` that say where the token is from."""
    if given_token is not None:
        return {"token": given_token}
    if not settings.secrets:
        return {"client_id": client_id, "groups": groups}
    mint_token(settings, client_id, groups=groups)  # report a wrong argument before connecting

    async def mint() -> str:
        return mint_token(settings, client_id, groups=groups)

    return {"token": mint}


async def _print_messages(
    base_url: str, api_key: str | None, source: dict[str, Any], as_json: bool
) -> None:
    from headrace.client import AsyncClient, ListenerEvent

    def print_event(event: ListenerEvent) -> None:
        click.echo(event.text, err=True)

    async with (
        AsyncClient(base_url, api_key, retry_s=0) as client,
        client.listen(**source, on_event=print_event) as messages,
    ):
        async for message in messages:
            # As bytes: the data is UTF-8, whatever the encoding of the terminal is.
            click.echo(msgspec.json.encode(message) if as_json else message.data.encode())


def _run_until_interrupted(work: Coroutine[Any, Any, None]) -> None:
    """Run `work`; on SIGINT, cancel it and exit with 130, the shell's code for SIGINT.

    A shell starts background jobs with SIGINT ignored. Then Python raises no KeyboardInterrupt,
    so the handler is installed in the event loop.
    """

    async def interruptible() -> None:
        task = asyncio.current_task()
        assert task is not None
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            # Windows has no handlers in the loop, and a thread cannot install any.
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, task.cancel)
        await work

    try:
        asyncio.run(interruptible())
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(128 + signal.SIGINT)


def _check_utf8(*arguments: str) -> None:
    try:
        "".join(arguments).encode()
    except UnicodeEncodeError:
        raise click.UsageError("an argument is not UTF-8") from None


def _base_url(url: str | None, settings: Settings) -> str:
    from headrace.client.address import check_base_url

    if url is not None:
        return check_base_url(url, "--url")
    if variable := os.environ.get("HEADRACE_URL"):
        return check_base_url(variable, "HEADRACE_URL")
    return local_url(settings)


def local_url(settings: Settings) -> str:
    """Return the base URL of a server with these settings, as seen from this machine."""
    scheme = "https" if settings.tls_cert else "http"
    # A client cannot connect to a wildcard address.
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104  # not bound
    if ":" in host:
        host = f"[{host}]"
    return f"{scheme}://{host}:{settings.port or FIELDS['port'].default}"


def _api_key(settings: Settings) -> str:
    if settings.api_key is None:
        raise ConfigError(
            "no API key is set: give the server's, as --api-key, HEADRACE_API_KEY or with --config"
        )
    return settings.api_key


def _with_exit_codes(base_url: str, function: Callable[[], _Result]) -> _Result:
    """Call `function`; turn the errors of a client into a line on stderr and an exit code."""
    try:
        return function()
    except BrokenPipeError:
        raise  # of stdout: click exits without a message
    except OSError as error:
        raise click.ClickException(
            f"cannot reach {base_url}: {error}; check --url (HEADRACE_URL), and that"
            " `headrace serve` is running there"
        ) from None
    except InputError as error:
        raise click.UsageError(str(error)) from None
    except TokenError as error:
        raise click.ClickException(f"{base_url} refused the token: {error}") from None
    except RequestError as error:
        hint = "; is the API key the server's?" if error.status == 401 else ""
        raise click.ClickException(f"{base_url} refused: {error.detail}{hint}") from None

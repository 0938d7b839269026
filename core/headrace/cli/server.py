"""The commands that run a server or prepare one: serve, check-config, keygen, token."""

import secrets

import click
import msgspec

from headrace import config, limits
from headrace.cli.flags import CONFIGURATION, load, mint_token, settings_flags
from headrace.origins import OriginPolicy
from headrace.settings import Settings


@click.command(short_help="Run the server.", epilog=CONFIGURATION)
@settings_flags(*config.FIELDS)
@click.option("--demo", is_flag=True, help="Serve a chat room to try out; its URL is printed.")
def serve(demo: bool, **flags: object) -> None:
    """Run the server until it is told to stop (SIGINT or SIGTERM); SIGHUP reads the keys again.

    With no secret and no API key it makes both, prints them, listens on a loopback address only,
    and serves the chat room of --demo.
    """
    # Late, so that the other commands start without it.
    from headrace.server import run_server
    from headrace.webhooks import Webhooks

    given = load(flags.copy()).settings
    demo = demo or not (given.secrets or given.api_key)
    settings, lines = config.complete(given, new_key=new_key)
    for line in lines:
        click.echo(line)

    def announce(url: str) -> None:
        click.echo(f"Listening on {url}")
        if demo:
            click.echo(f"Open {url}/ in two tabs, and chat from one to the other.")

    webhooks: list[Webhooks] = []

    def application() -> Webhooks:
        assert settings.app_url is not None
        webhooks.append(Webhooks(settings.app_url, settings.secrets))
        return webhooks[0]

    def reload() -> Settings:
        again = load(flags.copy()).settings
        secrets, api_key = again.secrets or settings.secrets, again.api_key or settings.api_key
        for one in webhooks:
            one.use_secrets(secrets)
        return msgspec.structs.replace(settings, secrets=secrets, api_key=api_key)

    run_server(
        settings,
        announce,
        demo=demo,
        application=application if settings.app_url is not None else None,
        reload=reload,
    )


@click.command(short_help="Show the settings and where each came from.", epilog=CONFIGURATION)
@settings_flags(*config.FIELDS)
def check_config(**flags: object) -> None:
    """Show the settings, where each came from, and whether `serve` would start with them.

    Takes the same flags as `serve`. Of keys only the lengths are shown. The exit code is 2 where
    `serve` would refuse to start; whether the address is free and the state directory can be
    written to is not tried.
    """
    # Late, so that the other commands start without it.
    from headrace.server.sockets import tls_context

    loaded = load(flags)
    rows = config.describe(loaded)
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for name, value, source in rows:
        click.echo(f"{name:<{widths[0]}}  {value:<{widths[1]}}  {source}")
    settings, lines = config.complete(loaded.settings, new_key=new_key)
    OriginPolicy(settings.allowed_origins)
    if settings.tls_cert is not None and settings.tls_key is not None:
        tls_context(settings.tls_cert, settings.tls_key)
    if lines:
        click.echo("\n`headrace serve` will make up the missing keys: for trying out only.")


@click.command(short_help="Print a new secret or API key.")
@click.option("--env", is_flag=True, help="Print one of each, as lines of an environment file.")
def keygen(env: bool) -> None:
    """Print a new key, fit for a secret or an API key: 32 random bytes in base64url.

    The text itself is the key: other programs that sign tokens use its bytes as they are, and do
    not decode them.
    """
    if env:
        click.echo(f"HEADRACE_SECRET={new_key()}")
        click.echo(f"HEADRACE_API_KEY={new_key()}")
    else:
        click.echo(new_key())


def new_key() -> str:
    """Return 32 random bytes in base64url: a key that no shell and no file format mangles."""
    return secrets.token_urlsafe(32)


@click.command(short_help="Print a token for a client.", epilog=CONFIGURATION)
@click.argument("client_id")
@click.option(
    "--minutes",
    type=click.IntRange(limits.TOKEN_MIN_MINUTES, limits.TOKEN_MAX_MINUTES),
    default=limits.TOKEN_DEFAULT_MINUTES,
    show_default=True,
    help="How long the token lasts.",
)
@click.option("--group", "groups", multiple=True, metavar="NAME", help="Join a group. [repeatable]")
@click.option(
    "--send",
    multiple=True,
    metavar="TARGET",
    help="What the client may send to by itself, as in group:lobby. [repeatable]",
)
@settings_flags("secrets", "client_id_max_bytes")
def token(
    client_id: str, minutes: int, groups: tuple[str, ...], send: tuple[str, ...], **flags: object
) -> None:
    """Print a token that lets the client CLIENT_ID listen to its channel.

    It is signed here with the server's secret; no server needs to run.
    """
    click.echo(mint_token(load(flags), client_id, minutes, groups, send))

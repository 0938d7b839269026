"""The commands that run a server or prepare one: serve, check-config, keygen, token."""

import click
import msgspec

from headrace import limits
from headrace.auth.origins import OriginPolicy
from headrace.cli.configuration import describe
from headrace.cli.flags import CONFIGURATION_HELP, load, settings_flags
from headrace.cli.keys import (
    API_KEY_VARIABLE,
    SECRET_VARIABLE,
    mint_token,
    new_key,
    with_generated_keys,
)
from headrace.settings import FIELDS, Settings


@click.command(short_help="Run the server.", epilog=CONFIGURATION_HELP)
@settings_flags(*FIELDS)
@click.option("--demo", is_flag=True, help="Serve a chat room as a demo; its URL is printed.")
def serve(demo: bool, **flags: object) -> None:
    """Run the server until SIGINT or SIGTERM. SIGHUP reloads the keys.

    Without a secret and an API key it generates both, prints them, accepts only a loopback
    address, and serves the chat room of --demo.
    """
    # Late imports: the other commands do not need the server.
    from headrace.hooks.webhooks import Webhooks
    from headrace.server.run import run_server

    given = load(flags).settings
    demo = demo or not (given.secrets or given.api_key)
    settings, lines = with_generated_keys(given)
    for line in lines:
        click.echo(line)

    def announce(url: str) -> None:
        click.echo(f"Listening on {url}")
        if demo:
            click.echo(f"Open {url}/ in two browser tabs to chat from one to the other.")

    webhooks: Webhooks | None = None
    if settings.app_url is not None:
        webhooks = Webhooks(
            settings.app_url,
            settings.secrets,
            notice_max_attempts=settings.notice_max_attempts,
        )

    def reload() -> Settings:
        again = load(flags).settings
        # A key that was generated at the start is kept; one that was configured can be removed.
        secrets = again.secrets if given.secrets else again.secrets or settings.secrets
        api_key = again.api_key if given.api_key else again.api_key or settings.api_key
        if webhooks is not None:
            webhooks.use_secrets(secrets)
        return msgspec.structs.replace(settings, secrets=secrets, api_key=api_key)

    run_server(settings, announce, demo=demo, application=webhooks, reload=reload)


@click.command(short_help="Show the settings and their sources.", epilog=CONFIGURATION_HELP)
@settings_flags(*FIELDS)
def check_config(**flags: object) -> None:
    """Show the settings and their sources, and check whether `serve` would start with them.

    Takes the same flags as `serve`. Only the length of a key is shown. The exit code is 2 if
    `serve` would refuse to start. It does not check whether the address is free and the state
    directory is writable.
    """
    from headrace.server.sockets import tls_context  # late, as in `serve`

    loaded = load(flags)
    rows = describe(loaded)
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for name, value, source in rows:
        click.echo(f"{name:<{widths[0]}}  {value:<{widths[1]}}  {source}")
    settings, lines = with_generated_keys(loaded.settings)
    OriginPolicy(settings.allowed_origins)
    if settings.tls_cert is not None and settings.tls_key is not None:
        tls_context(settings.tls_cert, settings.tls_key)
    if lines:
        click.echo("\n`headrace serve` will generate the missing keys: only for a trial.")


@click.command(short_help="Print a new secret or API key.")
@click.option("--env", is_flag=True, help="Print a secret and an API key for an environment file.")
@click.option("--export", is_flag=True, help="Print both as `export` lines for a shell.")
def keygen(env: bool, export: bool) -> None:
    """Print a new key, for use as a secret or an API key: 32 random bytes in base64url.

    The key is the printed text itself: a program that signs tokens uses its bytes, and does not
    decode it.
    """
    if env or export:
        prefix = "export " if export else ""
        click.echo(f"{prefix}{SECRET_VARIABLE}={new_key()}")
        click.echo(f"{prefix}{API_KEY_VARIABLE}={new_key()}")
    else:
        click.echo(new_key())


@click.command(short_help="Print a token for a client.", epilog=CONFIGURATION_HELP)
@click.argument("client_id")
@click.option(
    "--minutes",
    type=click.IntRange(limits.TOKEN_MIN_MINUTES, limits.TOKEN_MAX_MINUTES),
    default=limits.TOKEN_DEFAULT_MINUTES,
    show_default=True,
    help="Lifetime of the token.",
)
@click.option("--group", "groups", multiple=True, metavar="NAME", help="Join a group. [repeatable]")
@click.option(
    "--send",
    multiple=True,
    metavar="TARGET",
    help="Allow the client to send to a target, such as group:lobby. [repeatable]",
)
@settings_flags("secrets", "client_id_max_bytes")
def token(
    client_id: str, minutes: int, groups: tuple[str, ...], send: tuple[str, ...], **flags: object
) -> None:
    """Print a token that lets the client CLIENT_ID listen to its channel.

    It is signed with the server's secret; the server does not have to run.
    """
    click.echo(mint_token(load(flags).settings, client_id, minutes, groups, send))

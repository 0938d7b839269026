"""The command `python -m tests.checker`: run once, print the report, exit with 1 on a violation."""

import asyncio
import sys
import time

import click
import uvloop
from tests.checker.options import TRANSPORTS, Options
from tests.checker.planted_bugs import PLANTED_BUGS
from tests.checker.report import format_report
from tests.checker.run import run


@click.command(context_settings={"ignore_unknown_options": True, "show_default": True})
@click.option("--seed", default=1, help="Seed of all random choices.")
@click.option("--clients", default=200, help="Number of clients, spread over the transports.")
@click.option("--messages", default=50_000, help="Number of messages to publish.")
@click.option("--faults", default=2000, help="Number of connection faults to inject.")
@click.option("--restarts", default=5, help="Planned restarts: SIGTERM, then a new start.")
@click.option("--kills", default=0, help="Crashes: SIGKILL, then a new start.")
@click.option("--clock-steps", default=0, help="Steps of the server's wall clock, up to 60 s.")
@click.option("--publishers", default=4, help="Concurrent publishers.")
@click.option("--pages", default=0, help="Number of the clients that are pages in Chromium.")
@click.option("--rate", default=0.0, help="Messages per second; 0: chosen from the faults.")
@click.option("--transports", default=",".join(TRANSPORTS), help="Comma-separated transports.")
@click.option("--plant", type=click.Choice(list(PLANTED_BUGS)), help="Plant a bug in the server.")
@click.option(
    "--expect-lossless-restarts",
    is_flag=True,
    help="Fail if a client is told of a loss after a planned restart.",
)
@click.option("--every-client", is_flag=True, help="Print one table row for each client.")
@click.argument("server_flags", nargs=-1, type=click.UNPROCESSED)
def main(
    transports: str,
    expect_lossless_restarts: bool,
    every_client: bool,
    server_flags: tuple[str, ...],
    **numbers: object,
) -> None:
    """Check under faults that no message is lost, repeated or out of order without notice.

    SERVER_FLAGS after `--` are passed to `headrace serve`, as in `-- --slow-consumer drop-oldest`.
    """
    options = Options(
        transports=tuple(transports.split(",")),
        lossless_restarts=expect_lossless_restarts,
        server_flags=server_flags,
        **numbers,  # type: ignore[arg-type]  # click has checked them
    )
    started = time.monotonic()

    def print_progress(text: str) -> None:
        click.echo(f"{time.monotonic() - started:7.1f} s  {text}", err=True)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(run(options, print_progress))
    for line in format_report(result, every_client=every_client):
        click.echo(line)
    sys.exit(0 if result.passed else 1)


if __name__ == "__main__":
    main()

"""`python -m tests.checker`: one run, its table, and the exit code 1 where a promise was broken."""

import asyncio
import sys
import time

import click
import uvloop
from tests.checker.options import TRANSPORTS, Options
from tests.checker.plants import PLANTS
from tests.checker.report import report
from tests.checker.run import run


@click.command(context_settings={"ignore_unknown_options": True, "show_default": True})
@click.option("--seed", default=1, help="Decides everything that is random.")
@click.option("--clients", default=200, help="Listening clients, over the transports in turn.")
@click.option("--messages", default=50_000, help="Messages to publish.")
@click.option("--faults", default=2000, help="Faults on connections.")
@click.option("--restarts", default=5, help="Planned restarts: SIGTERM, and a new start.")
@click.option("--kills", default=0, help="Crashes: SIGKILL, and a new start.")
@click.option("--clock-steps", default=0, help="Steps of the server's wall clock, up to 60 s off.")
@click.option("--publishers", default=4, help="Publishers, each sending one after the other.")
@click.option("--pages", default=0, help="So many of the clients are pages in Chromium.")
@click.option("--rate", default=0.0, help="Messages a second; 0: as the faults leave time for.")
@click.option("--transports", default=",".join(TRANSPORTS), help="Which, with commas between.")
@click.option("--plant", type=click.Choice(list(PLANTS)), help="Plant this bug in the server.")
@click.option(
    "--expect-lossless-restarts",
    is_flag=True,
    help="After a planned restart no client may be told of a loss.",
)
@click.option("--every-client", is_flag=True, help="A row of the table for each client.")
@click.argument("server_flags", nargs=-1, type=click.UNPROCESSED)
def main(
    transports: str,
    expect_lossless_restarts: bool,
    every_client: bool,
    server_flags: tuple[str, ...],
    **numbers: object,
) -> None:
    """Check under faults that no message is lost, doubled or out of order without being told.

    SERVER_FLAGS behind `--` go to `headrace serve`, as in `-- --slow-consumer drop-oldest`.
    """
    options = Options(
        transports=tuple(transports.split(",")),
        lossless_restarts=expect_lossless_restarts,
        server_flags=server_flags,
        **numbers,  # type: ignore[arg-type]  # click has checked them
    )
    started = time.monotonic()

    def say(text: str) -> None:
        click.echo(f"{time.monotonic() - started:7.1f} s  {text}", err=True)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        outcome = runner.run(run(options, say))
    for line in report(outcome, every_client=every_client):
        click.echo(line)
    sys.exit(0 if outcome.holds else 1)


if __name__ == "__main__":
    main()

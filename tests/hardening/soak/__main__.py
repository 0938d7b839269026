"""The command `python -m tests.hardening.soak`: exit with 1 if there was a problem."""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

import click
import uvloop
from tests.hardening.soak.run import Options, soak


@click.command(context_settings={"show_default": True})
@click.option("--minutes", default=30.0, help="How long to run.")
@click.option("--seed", default=1, help="Seed of all random choices.")
@click.option("--processes", default=3, help="Server processes, each handing over to the next.")
@click.option("--clients", default=100, help="Clients of each action in a round.")
def main(minutes: float, seed: int, processes: int, clients: int) -> None:
    """Run a server under load, faults and restarts; check its memory and its descriptors."""
    options = Options(seed=seed, seconds=minutes * 60, processes=processes, clients=clients)
    started = time.monotonic()

    def print_progress(text: str) -> None:
        click.echo(f"{time.monotonic() - started:7.1f} s  {text}", err=True)

    with (
        tempfile.TemporaryDirectory(prefix="headrace-soak-") as directory,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        report = runner.run(soak(options, Path(directory), print_progress))
    for problem in report.problems:
        click.echo(problem)
    rounds = sum(len(life.resident) for life in report.lives)
    click.echo(
        f"{rounds} rounds, {len(report.lives)} processes, {report.counts['served']} clients served,"
        f" {report.counts['cut']} cut, {len(report.problems)} problems"
    )
    sys.exit(1 if report.problems else 0)


if __name__ == "__main__":
    main()

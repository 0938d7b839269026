"""The command `python -m tests.hardening.fuzz`: fuzz one target, exit with 1 if it crashed."""

import sys

import click
from tests.hardening.fuzz.fuzzer import fuzz
from tests.hardening.fuzz.registry import TARGETS


@click.command(context_settings={"show_default": True})
@click.argument("name", metavar="TARGET", type=click.Choice(list(TARGETS)))
@click.option("--minutes", default=10.0, help="How long to run.")
@click.option("--seed", default=1, help="Seed of all random choices.")
def main(name: str, minutes: float, seed: int) -> None:
    """Fuzz TARGET, and save inputs that break a property into its corpus."""
    report = fuzz(
        TARGETS[name],
        seed=seed,
        seconds=minutes * 60,
        output=lambda text: click.echo(text, err=True),
    )
    click.echo(f"{name}: {report}")
    sys.exit(1 if report.crashes else 0)


if __name__ == "__main__":
    main()

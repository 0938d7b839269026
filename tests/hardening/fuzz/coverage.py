"""A run guided by coverage, with Atheris (`pip install atheris`; it is in no list of dependencies).

    python -m tests.hardening.fuzz.coverage TARGET --minutes 10 --seed 1

libFuzzer ends the process at the first crash, whose input it saves into the corpus.
"""

import importlib
import shutil
import sys
import tempfile
from typing import Any

import click

INSTRUMENTED = ["headrace", "h11", "wsproto"]


@click.command(context_settings={"show_default": True})
@click.argument("name", metavar="TARGET")
@click.option("--minutes", default=10.0, help="How long to run.")
@click.option("--seed", default=1, help="Seed of all random choices.")
def main(name: str, minutes: float, seed: int) -> None:
    """Fuzz TARGET with Atheris."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=INSTRUMENTED):  # they must not be loaded before
        from tests.hardening.fuzz import corpus
        from tests.hardening.fuzz.registry import TARGETS
        from tests.hardening.fuzz.target import INPUT_MAX_BYTES
    target = TARGETS[name]
    with tempfile.TemporaryDirectory(prefix=f"headrace-fuzz-{name}-") as directory:
        # libFuzzer adds each input with new coverage to the first directory.
        shutil.copytree(corpus.CORPUS / name, directory, dirs_exist_ok=True)
        options = [
            f"-artifact_prefix={corpus.CORPUS / name}/",
            f"-max_total_time={int(minutes * 60)}",
            f"-max_len={INPUT_MAX_BYTES}",
            f"-seed={seed}",
        ]
        atheris.Setup([sys.argv[0], directory, *options], target.check)
        atheris.Fuzz()


if __name__ == "__main__":
    main()

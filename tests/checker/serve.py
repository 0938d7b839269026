"""The server under test where it must be a little different: `python -m tests.checker.serve`.

Its wall clock is the machine's plus an offset that the checker writes into a file; and a bug may
be planted in it. All else is `headrace` as its users run it.
"""

import mmap
import os
import struct
import time
from pathlib import Path

from tests.checker.plants import PLANTS

from headrace.cli import main

CLOCK = struct.Struct("d")
"""The clock file: one offset in seconds."""


def _step_clock(path: Path) -> None:
    """Have `time.time` follow the offset in the file at `path`."""
    with path.open("r+b") as file:
        offset = mmap.mmap(file.fileno(), CLOCK.size)
    true_time = time.time

    def stepped() -> float:
        step_s: float = CLOCK.unpack(offset[: CLOCK.size])[0]
        return true_time() + step_s

    time.time = stepped


if __name__ == "__main__":
    if clock := os.environ.pop("CHECKER_CLOCK", None):
        _step_clock(Path(clock))
    if plant := os.environ.pop("CHECKER_PLANT", None):
        PLANTS[plant]()
    main()

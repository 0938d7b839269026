"""The command `headrace` with a controllable clock and a planted bug.

    python -m tests.checker.instrumented_server serve

Its wall clock is the machine's plus an offset that the checker writes to a file. Everything else is
`headrace` as its users run it.
"""

import mmap
import os
import struct
import time
from pathlib import Path

from tests.checker.planted_bugs import PLANTED_BUGS

from headrace.cli import main

CLOCK_OFFSET = struct.Struct("d")
"""The content of the clock file: one offset in seconds."""


def _replace_clock(path: Path) -> None:
    """Make `time.time` add the offset in the file at `path`."""
    with path.open("r+b") as file:
        offset = mmap.mmap(file.fileno(), CLOCK_OFFSET.size)
    system_time = time.time

    def shifted_time() -> float:
        offset_s: float = CLOCK_OFFSET.unpack(offset[: CLOCK_OFFSET.size])[0]
        return system_time() + offset_s

    time.time = shifted_time


if __name__ == "__main__":
    if clock := os.environ.pop("CHECKER_CLOCK", None):
        _replace_clock(Path(clock))
    if bug := os.environ.pop("CHECKER_PLANT", None):
        PLANTED_BUGS[bug]()
    main()

"""A short soak run: two processes, one handover, small rounds."""

import sys
from pathlib import Path

import pytest
from tests.hardening.soak.run import Options, soak

SHORT = Options(
    seconds=10.0, processes=2, warm_up_rounds=3, rounds_min=2, clients=16, patience_s=0.5
)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc: run on Linux")
async def test_memory_and_descriptors_do_not_grow(tmp_path: Path) -> None:
    report = await soak(SHORT, tmp_path, print)
    assert report.problems == []
    assert len(report.lives) == SHORT.processes
    assert report.counts["served"] > report.counts["cut"] > 0

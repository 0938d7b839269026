"""Framing a payload, once for each message and encoding."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from headrace.messages.frames import TEXT, frame


@pytest.mark.parametrize("size_bytes", [125, 1024, 65536])
def test_frame(benchmark: BenchmarkFixture, size_bytes: int) -> None:
    """One payload for each of the three length classes of RFC 6455 section 5.2."""
    payload = b"x" * size_bytes
    assert benchmark(frame, TEXT, payload).endswith(payload)

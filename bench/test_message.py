"""Encoding a message: paid once per message and form, whatever the number of clients."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from headrace.frames import TEXT, frame
from headrace.message import ENCODERS, Form, Message
from headrace.position import Position

POSITION = Position(1732412345678, 0)


@pytest.mark.parametrize("size_bytes", [125, 1024, 65536])
def test_frame(benchmark: BenchmarkFixture, size_bytes: int) -> None:
    """One payload for each of the three length classes of RFC 6455 section 5.2."""
    payload = b"x" * size_bytes
    assert benchmark(frame, TEXT, payload).endswith(payload)


@pytest.mark.parametrize("form", Form)
def test_encode(benchmark: BenchmarkFixture, form: Form) -> None:
    message = Message(POSITION, "x" * 128, "lobby")
    assert b"xxx" in benchmark(ENCODERS[form], message)


def test_encoded_again(benchmark: BenchmarkFixture) -> None:
    """What every recipient but the first pays."""
    message = Message(POSITION, "x" * 128)
    assert benchmark(message.encoded, Form.V1) is message.encoded(Form.V1)

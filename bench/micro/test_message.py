"""Encoding a message: the cost is paid once per message and encoding, not once per client."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from headrace.messages.message import Encoding, Message, encode_message
from headrace.messages.position import Position

POSITION = Position(1732412345678, 0)


@pytest.mark.parametrize("encoding", Encoding)
def test_encode(benchmark: BenchmarkFixture, encoding: Encoding) -> None:
    message = Message(POSITION, "x" * 128, "lobby")
    assert b"xxx" in benchmark(encode_message, message, encoding)


def test_encode_again(benchmark: BenchmarkFixture) -> None:
    """The cost for every recipient except the first."""
    message = Message(POSITION, "x" * 128)
    assert benchmark(message.encode, Encoding.V1) is message.encode(Encoding.V1)

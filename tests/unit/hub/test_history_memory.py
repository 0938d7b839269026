"""hub/history.py: the estimate of an entry's memory, against what is allocated."""

import gc
import tracemalloc
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers.fakes import history_bytes

from headrace.hub.history import History, channel_key
from headrace.hub.subscriptions import Subscriptions
from headrace.messages import message as message_module
from headrace.messages.entries import Entry
from headrace.messages.message import Encoding, Message
from headrace.messages.position import START, Position

A = channel_key("a")


def message(ms: int, data: str) -> Message:
    return Message(Position(ms, 0), data)


def history_of(*sent: tuple[Message, tuple[str, ...]]) -> History:
    history = History(START, max_bytes=1 << 30, max_age_s=120)
    for each, keys in sent:
        history.append(each, keys)
    return history


DATA = {
    "ASCII": "x",
    "Latin-1": "\xe9",
    "two bytes wide": "\u597d",
    "four bytes wide": "\U0001f600",
    "one wide character": "\U0001f600" + "x" * 29_999,
    "to be escaped": '"',
    "to be escaped in six": "\x01",
}
TARGETS: dict[str, Callable[[int], Entry]] = {
    "a channel each": lambda n: Entry(data="", to=(f"client-{n:06}",)),
    "few channels": lambda n: Entry(data="", to=(f"client-{n % 50:06}",)),
    "lists": lambda n: Entry(data="", to=tuple(f"client-{n:06}-{i:02}" for i in range(40))),
    "a group": lambda n: Entry(data="", group=f"lobby-{n // 10**6}"),
    "everyone": lambda n: Entry(data="", everyone=True),
}


def real_bytes(target: Callable[[int], Entry], data: str, count: int) -> tuple[int, int]:
    """Return the counted and the allocated bytes of `count` entries, made as a server does."""
    body = msgspec.json.encode(data)
    recipients = Subscriptions().recipients
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        history = history_of()
        for n in range(count):
            entry = target(n)
            decoded = msgspec.json.decode(body, type=str)
            sent = Message(Position(10**12 + n, 0), decoded, entry.group)
            history.append(sent, recipients(entry)[1])
            sent.encode(Encoding.V1)
            del sent, entry, decoded
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return history.size_bytes, after - before


@pytest.mark.parametrize("size_characters", [16, 1000, 30_000])
@pytest.mark.parametrize("kind", DATA)
def test_the_counted_size_is_the_memory_of_the_data_and_one_encoding(
    kind: str, size_characters: int
) -> None:
    data = (DATA[kind] * (size_characters // len(DATA[kind]) + 1))[:size_characters]
    count = 2000 if size_characters == 16 else 200
    counted, real = real_bytes(TARGETS["a channel each"], data, count)
    assert counted == pytest.approx(real, rel=0.15)


@pytest.mark.parametrize("target", TARGETS)
def test_the_counted_size_of_the_index_is_its_memory(target: str) -> None:
    counted, real = real_bytes(TARGETS[target], "x" * 16, 2000 if target != "lists" else 100)
    assert counted == pytest.approx(real, rel=0.25)  # the load of the index's hash table varies


def counted_bytes(text: str, ms: int) -> int:
    """Return what an entry with this text counts; the string is new, as from a request."""
    return history_of((message(ms, data=copy_of(text)), (A,))).size_bytes


def exact_bytes(text: str) -> int:
    return history_bytes((message(1001, data=copy_of(text)), (A,)))


def copy_of(text: str) -> str:
    return text.encode().decode()


@pytest.mark.parametrize("size_characters", [1024, 1025, 1536, 5000, 32_768])
@pytest.mark.parametrize("data", ["x", '"', "\x01", '{"n":1},', "\u597d"])
def test_regular_data_is_measured_well_at_any_length(data: str, size_characters: int) -> None:
    text = (data * size_characters)[:size_characters]
    counted = [counted_bytes(text, ms) for ms in range(1001, 1010)]
    assert counted == pytest.approx([exact_bytes(text)] * 9, rel=0.02)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["x", '"', "\n", "\x01", "\xe9"]), st.integers(0, 4000)),
        max_size=8,
    )
)
def test_the_estimate_for_long_data_is_right_on_average(runs: list[tuple[str, int]]) -> None:
    """Whatever the data, the mean over all indexes of the first character is exact."""
    text = "x" * 1025 + "".join(character * count for character, count in runs)
    step = len(text) // message_module.SAMPLE_CHARACTERS | 1
    mean = sum(counted_bytes(text, 1001 + ms) for ms in range(step)) / step
    assert mean == pytest.approx(exact_bytes(text), abs=1)


def test_a_long_message_is_not_encoded_to_measure_it(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[str] = []

    def encode_into(data: str, buffer: bytearray) -> None:
        encoded.append(data)
        buffer[:] = msgspec.json.encode(data)

    monkeypatch.setattr(message_module, "_encode_into", encode_into)
    history = history_of((message(1001, data="x" * 30_000), (A,)))
    assert len(history) == 1
    assert [len(data) < 2 * message_module.SAMPLE_CHARACTERS for data in encoded] == [True]

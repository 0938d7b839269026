"""Byte mutations of an input, as coverage-guided fuzzers do them."""

from collections.abc import Callable, Sequence
from random import Random

from tests.hardening.fuzz.target import INPUT_MAX_BYTES

_INTERESTING = (0x00, 0x0A, 0x0D, 0x20, 0x22, 0x2C, 0x5C, 0x7D, 0x7E, 0x7F, 0x80, 0xC0, 0xFE, 0xFF)
_OTHER = (b"\r\n", b"\r\n\r\n", b"0", b"-1", b"18446744073709551616", b"\xed\xa0\x80", b"\\ud800")
_MUTATIONS_MAX_COUNT = 4
_RUN_MAX_BYTES = 64


def mutate(
    random: Random, data: bytes, corpus: Sequence[bytes], dictionary: Sequence[bytes]
) -> bytes:
    """Return `data` after one to four mutations; `corpus` is for splicing."""
    mutated = bytearray(data)
    for _ in range(random.randint(1, _MUTATIONS_MAX_COUNT)):
        random.choice(_MUTATIONS)(random, mutated, corpus, dictionary)
    return bytes(mutated[:INPUT_MAX_BYTES])


def _flip_bit(random: Random, data: bytearray, *_: object) -> None:
    if data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _set_byte(random: Random, data: bytearray, *_: object) -> None:
    if data:
        byte = random.choice(_INTERESTING) if random.random() < 0.5 else random.randrange(256)
        data[random.randrange(len(data))] = byte


def _insert_bytes(random: Random, data: bytearray, *_: object) -> None:
    at = random.randint(0, len(data))
    data[at:at] = random.randbytes(random.randint(1, 4))


def _delete_run(random: Random, data: bytearray, *_: object) -> None:
    start = random.randint(0, len(data))
    del data[start : start + random.randint(1, _RUN_MAX_BYTES)]


def _repeat_run(random: Random, data: bytearray, *_: object) -> None:
    start = random.randint(0, len(data))
    run = data[start : start + random.randint(1, _RUN_MAX_BYTES)]
    data[start:start] = run * random.choice((1, 1, 2, 8))


def _insert_word(
    random: Random, data: bytearray, corpus: Sequence[bytes], dictionary: Sequence[bytes]
) -> None:
    at = random.randint(0, len(data))
    word = random.choice((*dictionary, *_OTHER))
    end = at + (len(word) if random.random() < 0.5 else 0)  # replace, or insert
    data[at:end] = word


def _splice(random: Random, data: bytearray, corpus: Sequence[bytes], *_: object) -> None:
    if corpus:
        other = random.choice(corpus)
        start = random.randint(0, len(other))
        at = random.randint(0, len(data))
        data[at:at] = other[start : start + random.randint(1, 4 * _RUN_MAX_BYTES)]


def _truncate(random: Random, data: bytearray, *_: object) -> None:
    del data[random.randint(0, len(data)) :]


_MUTATIONS: tuple[Callable[..., None], ...] = (
    _flip_bit,
    _set_byte,
    _set_byte,
    _insert_bytes,
    _delete_run,
    _repeat_run,
    _insert_word,
    _insert_word,
    _splice,
    _truncate,
)

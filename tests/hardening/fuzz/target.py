"""What a fuzz target is, and what several targets share."""

import gc
import sys
import types
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import TypeVar

from hypothesis.strategies import SearchStrategy
from tests.helpers.client_bytes import byte_by_byte, cut_at

INPUT_MAX_BYTES = 4096
"""Longer inputs are cut: more of them per second find more."""

_BYTE_BY_BYTE_MAX_BYTES = 400
_CLASSES_AND_CODE = (
    type,
    Enum,
    types.ModuleType,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.CodeType,
    types.FrameType,
)

Result = TypeVar("Result")


@dataclass(frozen=True)
class Target:
    """A parser under test.

    `check(data)` raises for an input that breaks a property. `strategy` makes structured inputs,
    `dictionary` has pieces that mutations insert.
    """

    name: str
    check: Callable[[bytes], None]
    strategy: SearchStrategy[bytes]
    dictionary: tuple[bytes, ...] = ()


def input_random(data: bytes) -> Random:
    """Return a generator of choices that depend only on the input, so that it can be repeated."""
    return Random(zlib.crc32(data))


def chunkings(data: bytes) -> Iterator[Sequence[bytes]]:
    """Return the input cut into reads in several ways, without empty reads."""
    random = input_random(data)
    if len(data) <= _BYTE_BY_BYTE_MAX_BYTES:
        yield byte_by_byte(data)
    for count in (1, 6):
        cuts = [random.randint(0, len(data)) for _ in range(count)]
        yield [piece for piece in cut_at(data, cuts) if piece]


def check_chunkings(data: bytes, read: Callable[[Sequence[bytes]], Result]) -> Result:
    """Check that `read` returns the same for each way to cut the input; return that."""
    whole = read([data] if data else [])
    for chunks in chunkings(data):
        pieces = read(chunks)
        assert pieces == whole, f"cut into {[len(chunk) for chunk in chunks]}: {pieces} != {whole}"
    return whole


def kept_bytes(*roots: object) -> int:
    """Return the memory of all objects that can be reached, without classes and code."""
    seen: set[int] = set()
    total = 0
    waiting: list[object] = list(roots)
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, _CLASSES_AND_CODE):
            continue
        seen.add(id(each))
        total += sys.getsizeof(each)
        waiting += gc.get_referents(each)
    return total


def fields(data: bytes, count: int) -> list[str]:
    """Return the first lines of the input as `count` texts; missing ones are empty.

    Bytes that are not UTF-8 become lone surrogates, which JSON can express too.
    """
    lines = data.decode(errors="surrogateescape").split("\n", count - 1)
    return lines + [""] * (count - len(lines))


def joined(lines: Iterable[str]) -> bytes:
    """Return the input with these lines."""
    return "\n".join(lines).encode(errors="surrogatepass")

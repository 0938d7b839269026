"""Autobahn's sets 9 and 10: large messages, fragments and chops; round trips; auto-fragmentation.

They are functions of no arguments, so that their up to 16 MiB exist only while a case runs.
"""

from collections.abc import Callable, Iterator
from functools import partial

from tests.hardening.websocket.cases import (
    Case,
    Step,
    accepted,
    accepted_in_steps,
    cut,
    encode,
    fragments,
    repeat,
    reply,
)

MIB = 1024 * 1024
SIZES = [64 * 1024, 256 * 1024, MIB, 4 * MIB, 8 * MIB, 16 * MIB]
FRAGMENT_SIZES = [64 * 4**power for power in range(9)]
CHOP_SIZES = [64, 128, 256, 512, 1024, 2048]
ROUND_TRIP_SIZES = [0, 16, 64, 256, 1024, 4096]
ROUND_TRIPS = 1000

PATTERNS = {"text": b"BAsd7&jh23", "binary": b"\x00\xfe\x23\xfa\xf0"}
BYTES = {"text": b"*", "binary": b"\xfe"}


def whole(number: str, opcode: str, size: int) -> Case:
    payload = repeat(PATTERNS[opcode], size)
    return accepted(number, [encode(opcode, payload)], reply(opcode, payload))


def fragmented(number: str, opcode: str, size: int, fragment_size: int) -> Case:
    payload = BYTES[opcode] * size
    sent = fragments(opcode, cut(payload, fragment_size))
    return accepted(number, [b"".join(sent)], reply(opcode, payload))


def chopped(number: str, opcode: str, chop_size: int) -> Case:
    payload = repeat(PATTERNS[opcode], MIB)
    return accepted(number, cut(encode(opcode, payload), chop_size), reply(opcode, payload))


def round_trips(number: str, opcode: str, size: int) -> Case:
    payload = BYTES[opcode] * size
    step = Step((encode(opcode, payload),), reply(opcode, payload))
    return accepted_in_steps(number, *[step] * ROUND_TRIPS)


def limits() -> Iterator[tuple[str, Callable[[], Case]]]:
    """Return the number of each case, and a function that makes it."""
    for opcode, (size_set, fragment_set, chop_set, trip_set) in {
        "text": (1, 3, 5, 7),
        "binary": (2, 4, 6, 8),
    }.items():
        for last, size in enumerate(SIZES, start=1):
            number = f"9.{size_set}.{last}"
            yield number, partial(whole, number, opcode, size)
        for last, size in enumerate(FRAGMENT_SIZES, start=1):
            number = f"9.{fragment_set}.{last}"
            yield number, partial(fragmented, number, opcode, 4 * MIB, size)
        for last, size in enumerate(CHOP_SIZES, start=1):
            number = f"9.{chop_set}.{last}"
            yield number, partial(chopped, number, opcode, size)
        for last, size in enumerate(ROUND_TRIP_SIZES, start=1):
            number = f"9.{trip_set}.{last}"
            yield number, partial(round_trips, number, opcode, size)
    yield "10.1.1", partial(fragmented, "10.1.1", "text", 65536, 1300)


CASES = dict(limits())

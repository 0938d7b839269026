"""Autobahn's set 6: valid and invalid UTF-8, fragmented within code points, and fail-fast."""

from collections.abc import Iterator

from tests.hardening.websocket.cases import (
    Case,
    Step,
    accepted,
    cut,
    encode,
    ended,
    fragments,
    reply,
)

INVALID_UTF_8 = 1007

KOSME = "\u03ba\u1f79\u03c3\u03bc\u03b5".encode()
HELLO = "Hello-\xb5@\xdf\xf6\xe4\xfc\xe0\xe1-UTF-8!!".encode()
SURROGATE = b"\xed\xa0\x80"
TOO_LARGE = b"\xf4\x90\x80\x80"
"""The code point 0x110000; its second byte is the first that is invalid."""

# Sets 6.5 to 6.23, mostly from Markus Kuhn's UTF-8 test file: sequences, and whether each is valid.

VALID_PREFIX_SIZES = {2, 5, 7, 9, 11}
"""The prefixes of KOSME that end with a character."""

LONELY_STARTS = [(0xC0, 0xDF), (0xE0, 0xEF), (0xF0, 0xF7), (0xF8, 0xFB), (0xFC, 0xFD)]

LAST_BYTE_MISSING = [
    *(b"\xc0", b"\xe0\x80", b"\xf0\x80\x80", b"\xf8\x80\x80\x80", b"\xfc\x80\x80\x80\x80"),
    *(b"\xdf", b"\xef\xbf", b"\xf7\xbf\xbf", b"\xfb\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf"),
]

NON_CHARACTERS = [
    "\ufffe",
    "\uffff",
    *(chr(plane << 16 | last) for plane in range(1, 17) for last in (0xFFFE, 0xFFFF)),
]

SURROGATES = [0xD800, 0xDB7F, 0xDB80, 0xDBFF, 0xDC00, 0xDF80, 0xDFFF]

SEQUENCES: dict[int, tuple[bool, list[bytes]]] = {
    5: (True, [b"hello%bworld" % c.encode() for c in "$\xa2\u20ac\U00024b62"] + [KOSME]),
    7: (True, [c.encode() for c in "\0\x80\u0800\U00010000"]),
    8: (False, [b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"]),
    9: (True, [c.encode() for c in "\x7f\u07ff\uffff\U0010ffff"]),
    10: (False, [b"\xf7\xbf\xbf\xbf", b"\xfb\xbf\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf\xbf"]),
    12: (False, [*[b"\x80", b"\xbf"], *((b"\x80\xbf" * 3)[:n] for n in range(2, 7))]),
    13: (False, [b"".join(bytes((c, 0x20)) for c in range(*r)) for r in LONELY_STARTS]),
    14: (False, LAST_BYTE_MISSING),
    15: (False, [b"".join(LAST_BYTE_MISSING)]),
    16: (False, [b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"]),
    17: (
        False,
        [
            *(b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xf8\x80\x80\x80\xaf"),
            b"\xfc\x80\x80\x80\x80\xaf",
        ],
    ),
    18: (
        False,
        [
            *(b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf", b"\xf8\x87\xbf\xbf\xbf"),
            b"\xfc\x83\xbf\xbf\xbf\xbf",
        ],
    ),
    19: (
        False,
        [
            *(b"\xc0\x80", b"\xe0\x80\x80", b"\xf0\x80\x80\x80", b"\xf8\x80\x80\x80\x80"),
            b"\xfc\x80\x80\x80\x80\x80",
        ],
    ),
    20: (False, [chr(c).encode(errors="surrogatepass") for c in SURROGATES]),
    21: (
        False,
        [
            (chr(high) + chr(low)).encode(errors="surrogatepass")
            for high in SURROGATES[:4]
            for low in (0xDC00, 0xDFFF)
        ],
    ),
    22: (True, [c.encode() for c in NON_CHARACTERS]),
    23: (True, [chr(c).encode() for c in range(0xFFF9, 0x10000)]),
}
SEQUENCES[12][1].append(bytes(range(0x80, 0xBF)))


def sequences() -> Iterator[tuple[str, bool, bytes]]:
    """Return the number, the validity and the payload of the cases 6.5.1 to 6.23.7."""
    for section, (valid, payloads) in SEQUENCES.items():
        for number, payload in enumerate(payloads, start=1):
            yield f"6.{section}.{number}", valid, payload
    for size in range(1, len(KOSME) + 1):
        yield f"6.6.{size}", size in VALID_PREFIX_SIZES, KOSME[:size]
    boundaries = [*(c.encode() for c in "\ud7ff\ue000\ufffd\U0010ffff"), TOO_LARGE]
    for number, payload in enumerate(boundaries, start=1):
        yield f"6.11.{number}", payload is not TOO_LARGE, payload


def utf_8() -> Iterator[Case]:
    """Return the cases that send whole messages."""
    yield accepted("6.1.1", [encode("text")], reply("text", b""))
    yield accepted("6.1.2", [b"".join(fragments("text", [b""] * 3))], reply("text", b""))
    payload = b"middle frame payload"
    yield accepted(
        "6.1.3", [b"".join(fragments("text", [b"", payload, b""]))], reply("text", payload)
    )
    yield accepted("6.2.1", [encode("text", HELLO)], reply("text", HELLO))
    halves = fragments("text", [HELLO[:15], HELLO[15:]])
    yield accepted("6.2.2", [b"".join(halves)], reply("text", HELLO))
    for number, payload in [("6.2.3", HELLO), ("6.2.4", KOSME)]:
        octets = fragments("text", cut(payload, 1))
        yield accepted(number, [b"".join(octets)], reply("text", payload))
    payload = KOSME + SURROGATE + b"edited"
    yield ended("6.3.1", [encode("text", payload)], INVALID_UTF_8)
    yield ended("6.3.2", [b"".join(fragments("text", cut(payload, 1)))], INVALID_UTF_8)
    for number, valid, payload in sequences():
        frame = encode("text", payload)
        if valid:
            yield accepted(number, [frame], reply("text", payload))
        else:
            yield ended(number, [frame], INVALID_UTF_8)


def fail_fast() -> Iterator[Case]:
    """Return the cases whose message is never completed: its second part is invalid."""
    payload = KOSME + TOO_LARGE + b"edited"
    splits = [(KOSME, TOO_LARGE), (payload[:12], payload[12:13])]
    for number, (valid, invalid) in zip(("6.4.1", "6.4.2"), splits, strict=True):
        first = encode("text", valid, fin=False)
        second = encode("continuation", invalid, fin=False)
        steps = Step((first,)), Step((second,))
        yield Case(number, steps, INVALID_UTF_8, client_closes=False)
    frame = encode("text", payload)
    head_size = len(frame) - len(payload)
    for number, (valid, invalid) in zip(("6.4.3", "6.4.4"), splits, strict=True):
        end = head_size + len(valid)
        steps = Step((frame[:end],)), Step((frame[end : end + len(invalid)],))
        yield Case(number, steps, INVALID_UTF_8, client_closes=False)


CASES = [*utf_8(), *fail_fast()]

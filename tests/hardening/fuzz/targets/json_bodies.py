"""The JSON that the server decodes: request bodies, lines of a batch, WebSocket frames.

`ndjson` is the splitter of a batch's lines.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec
from hypothesis import strategies as st
from tests.hardening.fuzz.target import Target, chunkings
from tests.hardening.fuzz.targets.json_inputs import JSON_WORDS, json_like, json_text
from tests.helpers.fakes import run_now

from headrace.api import client_frames
from headrace.api.body_stream import split_lines
from headrace.api.json_body import JSON_ERRORS, invalid_json
from headrace.errors import InputError
from headrace.messages.entries import Entry
from headrace.messages.validation import check_entry
from headrace.messages.wire import ChannelRequest, MessageRequest, SendRequest

REQUESTS: Final = (ChannelRequest, MessageRequest, SendRequest)
DECODERS: Final = [msgspec.json.Decoder(kind) for kind in REQUESTS]


def check(data: bytes) -> None:
    for decoder in DECODERS:
        try:
            value = decoder.decode(data)
        except JSON_ERRORS as error:
            invalid_json(error, "body")
            continue
        check_value(value)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    ref = client_frames._ref_of(text)
    try:
        frame = client_frames._decoder.decode(text)
    except JSON_ERRORS as error:
        invalid_json(error, "frame")
        return
    if isinstance(frame, client_frames._Send):
        assert frame.ref == ref
        check_value(frame)


def check_value(value: object) -> None:
    """Check that a decoded request is refused only as invalid input."""
    if not isinstance(value, SendRequest | MessageRequest):
        return
    to = (value.to,) if isinstance(value.to, str) else value.to
    everyone = isinstance(value, SendRequest) and value.everyone
    entry = Entry(data=value.data, to=to, group=value.group, everyone=everyone)
    try:
        check_entry(entry, message_max_bytes=100, client_id_max_bytes=20)
    except InputError:
        return
    msgspec.json.encode(entry)


BODIES = st.one_of(
    st.fixed_dictionaries(
        {"data": st.text() | json_like()},
        optional={
            "to": st.text(max_size=5) | st.lists(st.text(max_size=5), max_size=3) | json_like(),
            "group": st.text(max_size=5) | json_like(),
            "everyone": st.booleans() | json_like(),
            "idempotency_key": st.text(max_size=5),
            "type": st.sampled_from(["send", "renew", "x"]),
            "ref": st.integers() | st.text(max_size=3) | json_like(),
        },
    ),
    st.fixed_dictionaries(
        {"client_id": st.text(max_size=5) | json_like()},
        optional={
            "duration_minutes": st.floats() | st.integers() | json_like(),
            "groups": st.lists(st.text(max_size=3), max_size=3) | json_like(),
            "send": st.lists(st.text(max_size=3), max_size=3) | json_like(),
        },
    ),
    st.fixed_dictionaries({"type": st.just("renew"), "token": st.text() | json_like()}),
    json_like(),
)

TARGET = Target(
    "json-bodies",
    check,
    json_text(BODIES).map(lambda text: text.encode(errors="surrogatepass")),
    JSON_WORDS,
)

# --- lines ---------------------------------------------------------------------------------------

LINE_MAX_BYTES: Final = 20


async def _pieces(chunks: Sequence[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def _lines(chunks: Sequence[bytes]) -> list[Any]:
    return [line async for lines in split_lines(_pieces(chunks), LINE_MAX_BYTES) for line in lines]


def check_lines(data: bytes) -> None:
    expected: list[bytes | None] = [
        line if len(line) <= LINE_MAX_BYTES else None for line in data.split(b"\n")
    ]
    if expected[-1] == b"":
        expected.pop()  # the end of the last line, and not a line
    for chunks in [[data], *chunkings(data)]:
        assert run_now(_lines(chunks)) == expected


LINES_TARGET = Target(
    "ndjson",
    check_lines,
    st.lists(st.binary(max_size=25) | st.just(b"x" * LINE_MAX_BYTES), max_size=6).map(b"\n".join),
    (b"\n", b"\n\n", b"x" * 21),
)

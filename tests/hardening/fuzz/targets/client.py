"""What the Python client decodes: frames, responses, batches and headers, from any server.

The lines of an input to `client-frames` are the frames of one connection. An input to
`client-responses` is a body, and its first line a header.
"""

import asyncio
import math

import msgspec
from hypothesis import strategies as st
from tests.hardening.fuzz.target import Target, joined
from tests.hardening.fuzz.targets.json_inputs import JSON_WORDS, json_like, json_text

from headrace.client.batch import Batch
from headrace.client.close_info import CloseInfo
from headrace.client.errors import InputError, RequestError, UnreachableError
from headrace.client.http_messages import HttpResponse, decoder, problem_detail
from headrace.client.listener import Listener, ListenerEvent
from headrace.client.models import Channel, GroupPresence, Message, Presence, Send, Sent, Stats
from headrace.client.retry_after import retry_after_s
from headrace.messages.position import parse_position

UNIX_S = 1_732_412_345.0

# --- frames --------------------------------------------------------------------------------------


async def _no_token() -> str:
    await asyncio.sleep(0)
    return ""


def check_frames(data: bytes) -> None:
    events: list[ListenerEvent] = []
    listener = Listener("http://test", _no_token, on_event=events.append)
    newest = None
    for line in data.split(b"\n"):
        try:
            text = line.decode()  # a WebSocket library delivers valid UTF-8 only
        except UnicodeDecodeError:
            continue
        position = listener._position
        result = listener._handle_frame(text)
        if isinstance(result, Message):
            newest = parse_position(result.id)
            assert newest > position, "an id that is not newer"
        else:
            assert result is None or isinstance(result, CloseInfo)
        assert math.isfinite(listener._timeout_s)
        assert listener._timeout_s > 0, f"a timeout of {listener._timeout_s} s"
        delay_s = listener._delay_s
        assert delay_s is None or (math.isfinite(delay_s) and delay_s >= 0), delay_s


IDS = st.sampled_from(["1-0", "2-0", "1-1", "3-5", "0-0", "x", "", "99999999999999999999-0"])
NUMBERS = st.sampled_from([25, 0, 0.5, -1, 1e308, 1e-300, 1000, "1", True, None])
FRAMES = st.one_of(
    st.fixed_dictionaries(
        {}, optional={"id": IDS, "data": st.text(max_size=9), "group": st.just("g")}
    ),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["open", "ping", "gap", "reconnect", "sent", "new"])},
        optional={
            "id": IDS,
            "recovered": st.sampled_from([True, False, None, 1]),
            "ping_interval": NUMBERS,
            "delay_ms": NUMBERS,
            "other": json_like(),
        },
    ),
)
FRAMES_TARGET = Target(
    "client-frames",
    check_frames,
    st.lists(json_text(FRAMES) | json_text(json_like()), max_size=5).map(joined),
    (
        *JSON_WORDS,
        b'{"type":"open","id":"1-0","ping_interval":25}',
        b'{"id":"2-0","data":"x"}',
        b'{"type":"reconnect","delay_ms":1000}',
        b"\n",
    ),
)

# --- responses -----------------------------------------------------------------------------------

KINDS = (Channel, GroupPresence, Presence, Sent, Stats)
DECODERS = [(kind, decoder(kind)) for kind in KINDS]


def check_responses(data: bytes) -> None:
    header, _, body = data.partition(b"\n")
    seconds = retry_after_s([("retry-after", header.decode("latin-1"))], UNIX_S)
    assert seconds is None or seconds >= 0
    assert problem_detail(500, body)
    response = HttpResponse(200, (), body)
    for kind, decode in DECODERS:
        try:
            value = decode(response)
        except UnreachableError:
            continue
        assert type(value) is kind
        msgspec.json.encode(value)
    check_batch(response)


def check_batch(response: HttpResponse) -> None:
    batch = Batch()
    for number in range(len([line for line in response.body.split(b"\n") if line])):
        batch.add(Send(data=str(number), to="alice"))
    batch.add(Send(data="\ud800", to="alice"))
    try:
        results = batch.decode(response)
    except UnreachableError:
        return
    assert len(results) == len(batch)
    assert isinstance(results[-1], InputError)
    assert all(isinstance(result, Sent | RequestError) for result in results[:-1])


BODIES = st.one_of(
    st.fixed_dictionaries({"token": st.text(), "client_id": st.text(), "expires_at": NUMBERS}),
    st.fixed_dictionaries({"id": IDS, "sessions": NUMBERS}),
    st.fixed_dictionaries(
        {"status": NUMBERS}, optional={"detail": json_like(), "title": st.text()}
    ),
    st.fixed_dictionaries(
        {"client_id": st.text(), "online": st.booleans(), "since": NUMBERS, "sessions": NUMBERS}
    ),
    json_like(),
)
RETRY_AFTER = st.sampled_from(
    [
        *("5", "0", "-1", "1e3", "9" * 400, "\u00b2", "", "Sun, 24 Nov 2024 01:39:05 GMT"),
        *("Sun, 24 Nov 99999 01:39:05 GMT", "Sun, 24 Nov 2024 01:39:05 +9999999", "Nov"),
        *("Sun, 24 Nov 2024 01:39:05 -0000", "1 Jan 0001 00:00:00 +1400", "24 Nov 2024 1:2:3.4 X"),
    ]
)
RESPONSES_TARGET = Target(
    "client-responses",
    check_responses,
    st.tuples(RETRY_AFTER, st.lists(json_text(BODIES), min_size=1, max_size=3).map("\n".join)).map(
        joined
    ),
    (*JSON_WORDS, b'{"id":"1-0","sessions":1}', b'"status":404', b" GMT", b"Nov 2024", b"\n"),
)

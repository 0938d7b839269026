"""messages/message.py: the bytes of every encoding, and that each is encoded once."""

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers.fakes import python_calls

from headrace.messages import message as message_module
from headrace.messages.message import (
    ControlMessage,
    Encoding,
    Message,
    MessageBatch,
    encode_message,
    event_stream_lines,
)
from headrace.messages.position import Position

POSITION = Position(1_732_412_345_678, 0)
texts = st.text(st.characters(exclude_categories=["Cs"]))


def message(data: str = "hi", group: str | None = None) -> Message:
    return Message(POSITION, data, group)


def frame_payload(frame: bytes) -> bytes:
    """Return the payload of one complete unmasked text frame (RFC 6455 section 5.2)."""
    assert frame[0] == 0x81
    head = {126: 4, 127: 10}.get(frame[1], 2)
    size = frame[1] if head == 2 else int.from_bytes(frame[2:head], "big")
    assert len(frame) == head + size
    return frame[head:]


def parse_event_stream(chunk: str) -> list[dict[str, str]]:
    """Return what a browser's EventSource dispatches (WHATWG HTML, section 9.2.6)."""
    events, fields = [], Counter[str]()
    parsed: dict[str, str] = {}
    for line in chunk.replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]:
        if not line:
            if fields["data"]:
                events.append(parsed)
            fields, parsed = Counter(), {}
            continue
        if line.startswith(":"):
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        fields[name] += 1
        parsed[name] = f"{parsed[name]}\n{value}" if name in parsed else value
    assert not parsed, "the last event was not ended"
    return events


# --- the bytes of the contract ---------------------------------------------------------------


def test_the_four_encodings_of_a_message() -> None:
    found = {encoding: message().encode(encoding) for encoding in Encoding}
    assert found == {
        Encoding.V1: b'\x81\x24{"id":"1732412345678-0","data":"hi"}',
        Encoding.BARE: b"\x81\x02hi",
        Encoding.SSE: b"id: 1732412345678-0\ndata: hi\n\n",
        Encoding.POLL: b'{"id":"1732412345678-0","data":"hi"}',
    }


def test_the_four_encodings_of_a_group_message() -> None:
    found = {encoding: message(group="lobby").encode(encoding) for encoding in Encoding}
    assert found == {
        Encoding.V1: b'\x81\x34{"id":"1732412345678-0","data":"hi","group":"lobby"}',
        Encoding.BARE: b"\x81\x02hi",
        Encoding.SSE: b"id: 1732412345678-0\ndata: hi\n\n",
        Encoding.POLL: b'{"id":"1732412345678-0","data":"hi","group":"lobby"}',
    }


@pytest.mark.parametrize(
    ("data", "v1", "sse"),
    [
        ("", b'""', b"data: \n"),
        (" x", b'" x"', b"data:  x\n"),
        (":x", b'":x"', b"data: :x\n"),
        ("a\nb", rb'"a\nb"', b"data: a\ndata: b\n"),
        ("a\r\nb", rb'"a\r\nb"', b"data: a\ndata: b\n"),
        ("a\rb", rb'"a\rb"', b"data: a\ndata: b\n"),
        ("a\n\nb", rb'"a\n\nb"', b"data: a\ndata: \ndata: b\n"),
        ("\n", rb'"\n"', b"data: \ndata: \n"),
        ("a\n", rb'"a\n"', b"data: a\ndata: \n"),
        ("\r\r\n", rb'"\r\r\n"', b"data: \ndata: \ndata: \n"),
        ("id: 9\n\nretry: 1", rb'"id: 9\n\nretry: 1"', b"data: id: 9\ndata: \ndata: retry: 1\n"),
        ("\x00\x1f", rb'"\u0000\u001f"', b"data: \x00\x1f\n"),
        ('"\\', rb'"\"\\"', b'data: "\\\n'),
        ("\x7f", b'"\x7f"', b"data: \x7f\n"),
        ("é", b'"\xc3\xa9"', b"data: \xc3\xa9\n"),
        ("\N{GRINNING FACE}", b'"\xf0\x9f\x98\x80"', b"data: \xf0\x9f\x98\x80\n"),
        ("\u2028\x85", b'"\xe2\x80\xa8\xc2\x85"', b"data: \xe2\x80\xa8\xc2\x85\n"),
    ],
)  # fmt: skip
def test_data_with_special_characters(data: str, v1: bytes, sse: bytes) -> None:
    encode = message(data).encode
    assert frame_payload(encode(Encoding.V1)) == b'{"id":"1732412345678-0","data":%b}' % v1
    assert encode(Encoding.POLL) == b'{"id":"1732412345678-0","data":%b}' % v1
    assert frame_payload(encode(Encoding.BARE)) == data.encode()
    assert encode(Encoding.SSE) == b"id: 1732412345678-0\n%b\n" % sse


@given(texts, st.none() | texts)
def test_every_encoding_decodes_to_what_was_sent(data: str, group: str | None) -> None:
    encode = message(data, group).encode
    expected = {"id": "1732412345678-0", "data": data}
    if group is not None:
        expected["group"] = group
    assert json.loads(frame_payload(encode(Encoding.V1))) == expected
    assert json.loads(encode(Encoding.POLL)) == expected
    assert frame_payload(encode(Encoding.BARE)).decode() == data
    newlines_as_one = data.replace("\r\n", "\n").replace("\r", "\n")
    assert parse_event_stream(encode(Encoding.SSE).decode()) == [
        {"id": "1732412345678-0", "data": newlines_as_one}
    ]


@given(texts)
def test_event_stream_lines_have_no_other_line_end(data: str) -> None:
    lines = event_stream_lines(data)
    assert "\r" not in lines
    assert all(line.startswith("data: ") for line in lines.removesuffix("\n").split("\n"))


@pytest.mark.parametrize("size_bytes", [80, 81, 65_490, 65_530, 200_000])
def test_frames_of_each_length_class(size_bytes: int) -> None:
    encode = message("x" * size_bytes).encode
    assert frame_payload(encode(Encoding.BARE)) == b"x" * size_bytes
    assert json.loads(frame_payload(encode(Encoding.V1)))["data"] == "x" * size_bytes


@given(texts)
def test_size_bytes_is_that_of_the_data_as_utf8(data: str) -> None:
    assert message(data).size_bytes == len(data.encode())


def test_repr_shows_no_data() -> None:
    assert repr(message("secret")) == "<Message 1732412345678-0 of 6 bytes>"


# --- encoded once ----------------------------------------------------------------------------


@pytest.fixture
def encodings(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[Encoding, str]]:
    """Count how often each message is encoded in each encoding."""
    calls: Counter[tuple[Encoding, str]] = Counter()

    def counting(message: Message, encoding: Encoding) -> bytes:
        calls[encoding, message.data] += 1
        return encode_message(message, encoding)

    monkeypatch.setattr(message_module, "encode_message", counting)
    return calls


def test_a_message_is_encoded_once_in_each_encoding_that_is_used(
    encodings: Counter[tuple[Encoding, str]],
) -> None:
    sent = message()
    assert not encodings
    for encoding in (Encoding.V1, Encoding.SSE):
        assert len({id(sent.encode(encoding)) for _ in range(100)}) == 1
    assert encodings == {(Encoding.V1, "hi"): 1, (Encoding.SSE, "hi"): 1}


def test_a_batch_is_joined_once_in_each_encoding_from_shared_encodings(
    encodings: Counter[tuple[Encoding, str]],
) -> None:
    one, other = Message(Position(1, 0), "a"), Message(Position(2, 0), "b")
    batch = MessageBatch((one, other))
    assert one.encode(Encoding.BARE) == b"\x81\x01a"
    for encoding in Encoding:
        joined = batch.encode(encoding)
        comma = b"," if encoding is Encoding.POLL else b""
        assert joined == one.encode(encoding) + comma + other.encode(encoding)
        assert batch.encode(encoding) is joined
    assert set(encodings.values()) == {1}


@pytest.mark.parametrize("encoding", [Encoding.V1, Encoding.BARE, Encoding.POLL])
@pytest.mark.parametrize("size_bytes", [16, 1000, 70_000])
def test_encoding_a_message_costs_two_python_calls(encoding: Encoding, size_bytes: int) -> None:
    sent = message("x" * size_bytes)
    assert python_calls(lambda: sent.encode(encoding)) == 2
    assert python_calls(lambda: sent.encode(encoding)) == 1


# --- control messages ------------------------------------------------------------------------

CONTROLS = [
    {
        "type": "open",
        "client_id": "a/é\n",
        "id": "5-0",
        "recovered": None,
        "expires_at": 99.5,
        "ping_interval": 25,
    },
    {"type": "gap", "after": "1-0", "before": "9-2"},
    {"type": "reconnect", "delay_ms": 1200},
]


@pytest.mark.parametrize("fields", CONTROLS, ids=lambda fields: str(fields["type"]))
def test_each_control_message_in_each_encoding(fields: dict[str, object]) -> None:
    control = ControlMessage(fields)
    body = json.dumps(fields, separators=(",", ":"), ensure_ascii=False)
    assert control.encode(Encoding.POLL) == body.encode()
    assert frame_payload(control.encode(Encoding.V1)) == body.encode()
    resume_at = f"id: {fields['id']}\n" if "id" in fields else ""  # also before the first message
    assert control.encode(Encoding.SSE) == f"{resume_at}event: headrace\ndata: {body}\n\n".encode()
    assert control.encode(Encoding.BARE) == b""
    for encoding in Encoding:
        assert control.encode(encoding) is control.encode(encoding)


def test_a_ping_is_a_comment_in_an_event_stream() -> None:
    ping = ControlMessage({"type": "ping"})
    assert ping.encode(Encoding.V1) == b'\x81\x0f{"type":"ping"}'
    assert ping.encode(Encoding.SSE) == b": ping\n\n"
    assert parse_event_stream(": ping\n\n") == []
    assert ping.encode(Encoding.BARE) == b""

"""headrace.message: the bytes of every form, encoded once whoever asks and however often."""

import json
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace import message as message_module
from headrace.message import ENCODERS, Form, Message, Notice, Run, event_stream_lines
from headrace.position import Position

POSITION = Position(1_732_412_345_678, 0)
texts = st.text(st.characters(exclude_categories=["Cs"]))


def message(data: str = "hi", group: str | None = None) -> Message:
    return Message(POSITION, data, group)


def frame_payload(frame: bytes) -> bytes:
    """The payload of a whole unmasked text frame (RFC 6455 section 5.2)."""
    assert frame[0] == 0x81
    head = {126: 4, 127: 10}.get(frame[1], 2)
    size = frame[1] if head == 2 else int.from_bytes(frame[2:head], "big")
    assert len(frame) == head + size
    return frame[head:]


def parse_event_stream(chunk: str) -> list[dict[str, str]]:
    """What a browser's EventSource dispatches (WHATWG HTML, section 9.2.6)."""
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


def test_the_four_forms_of_a_message() -> None:
    found = {form: message().encoded(form) for form in Form}
    assert found == {
        Form.V1: b'\x81\x24{"id":"1732412345678-0","data":"hi"}',
        Form.BARE: b"\x81\x02hi",
        Form.SSE: b"id: 1732412345678-0\ndata: hi\n\n",
        Form.POLL: b'{"id":"1732412345678-0","data":"hi"}',
    }


def test_the_four_forms_of_a_group_s_message() -> None:
    found = {form: message(group="lobby").encoded(form) for form in Form}
    assert found == {
        Form.V1: b'\x81\x34{"id":"1732412345678-0","data":"hi","group":"lobby"}',
        Form.BARE: b"\x81\x02hi",
        Form.SSE: b"id: 1732412345678-0\ndata: hi\n\n",
        Form.POLL: b'{"id":"1732412345678-0","data":"hi","group":"lobby"}',
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
def test_awkward_data(data: str, v1: bytes, sse: bytes) -> None:
    encoded = message(data).encoded
    assert frame_payload(encoded(Form.V1)) == b'{"id":"1732412345678-0","data":%b}' % v1
    assert encoded(Form.POLL) == b'{"id":"1732412345678-0","data":%b}' % v1
    assert frame_payload(encoded(Form.BARE)) == data.encode()
    assert encoded(Form.SSE) == b"id: 1732412345678-0\n%b\n" % sse


@given(texts, st.none() | texts)
def test_every_form_gives_back_what_was_sent(data: str, group: str | None) -> None:
    encoded = message(data, group).encoded
    expected = {"id": "1732412345678-0", "data": data}
    if group is not None:
        expected["group"] = group
    assert json.loads(frame_payload(encoded(Form.V1))) == expected
    assert json.loads(encoded(Form.POLL)) == expected
    assert frame_payload(encoded(Form.BARE)).decode() == data
    newlines_as_one = data.replace("\r\n", "\n").replace("\r", "\n")
    assert parse_event_stream(encoded(Form.SSE).decode()) == [
        {"id": "1732412345678-0", "data": newlines_as_one}
    ]


@given(texts)
def test_event_stream_lines_hold_no_stray_line_end(data: str) -> None:
    lines = event_stream_lines(data)
    assert "\r" not in lines
    assert all(line.startswith("data: ") for line in lines.removesuffix("\n").split("\n"))


@pytest.mark.parametrize("size_bytes", [80, 81, 65_490, 65_530, 200_000])
def test_frames_of_each_length_class(size_bytes: int) -> None:
    encoded = message("x" * size_bytes).encoded
    assert frame_payload(encoded(Form.BARE)) == b"x" * size_bytes
    assert json.loads(frame_payload(encoded(Form.V1)))["data"] == "x" * size_bytes


@given(texts)
def test_size_bytes_is_the_data_s_as_utf8(data: str) -> None:
    assert message(data).size_bytes == len(data.encode())


def test_repr_shows_no_data() -> None:
    assert repr(message("secret")) == "<Message 1732412345678-0 of 6 bytes>"


# --- encoded once ----------------------------------------------------------------------------


@pytest.fixture
def encodings(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[Form, str]]:
    """How often each message was encoded in each form."""
    calls: Counter[tuple[Form, str]] = Counter()

    def counting(form: Form) -> Callable[[Message], bytes]:
        encoder = ENCODERS[form]

        def encode(message: Message) -> bytes:
            calls[form, message.data] += 1
            return encoder(message)

        return encode

    monkeypatch.setattr(message_module, "ENCODERS", [counting(form) for form in Form])
    return calls


def test_a_message_is_encoded_once_per_form_and_only_in_forms_asked_for(
    encodings: Counter[tuple[Form, str]],
) -> None:
    sent = message()
    assert not encodings
    for form in (Form.V1, Form.SSE):
        assert len({id(sent.encoded(form)) for _ in range(100)}) == 1
    assert encodings == {(Form.V1, "hi"): 1, (Form.SSE, "hi"): 1}


def test_a_run_is_joined_once_per_form_of_encodings_made_once(
    encodings: Counter[tuple[Form, str]],
) -> None:
    one, other = Message(Position(1, 0), "a"), Message(Position(2, 0), "b")
    run = Run((one, other))
    assert one.encoded(Form.BARE) == b"\x81\x01a"
    for form in Form:
        joined = run.encoded(form)
        comma = b"," if form is Form.POLL else b""
        assert joined == one.encoded(form) + comma + other.encoded(form)
        assert run.encoded(form) is joined
    assert set(encodings.values()) == {1}


def test_there_is_an_encoder_for_each_form() -> None:
    assert len(ENCODERS) == len(Form)


# --- notices ---------------------------------------------------------------------------------

NOTICES = [
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


@pytest.mark.parametrize("fields", NOTICES, ids=lambda fields: str(fields["type"]))
def test_each_notice_in_each_form(fields: dict[str, object]) -> None:
    notice = Notice(fields)
    body = json.dumps(fields, separators=(",", ":"), ensure_ascii=False)
    assert notice.encoded(Form.POLL) == body.encode()
    assert frame_payload(notice.encoded(Form.V1)) == body.encode()
    resume_at = f"id: {fields['id']}\n" if "id" in fields else ""  # even if no message ever comes
    assert notice.encoded(Form.SSE) == f"{resume_at}event: headrace\ndata: {body}\n\n".encode()
    assert notice.encoded(Form.BARE) == b""
    for form in Form:
        assert notice.encoded(form) is notice.encoded(form)


def test_a_ping_is_a_comment_in_an_event_stream() -> None:
    ping = Notice({"type": "ping"})
    assert ping.encoded(Form.V1) == b'\x81\x0f{"type":"ping"}'
    assert ping.encoded(Form.SSE) == b": ping\n\n"
    assert parse_event_stream(": ping\n\n") == []
    assert ping.encoded(Form.BARE) == b""


# --- entries ---------------------------------------------------------------------------------

"""api/json_body.py: the errors of JSON from a peer."""

import msgspec
import pytest

from headrace.api.json_body import JSON_ERRORS, invalid_json
from headrace.errors import InputError
from headrace.messages.wire import SendRequest

DECODER = msgspec.json.Decoder(SendRequest)


def fault(body: bytes) -> str:
    with pytest.raises(JSON_ERRORS) as caught:
        DECODER.decode(body)
    error = invalid_json(caught.value, "body")
    assert type(error) is InputError
    return str(error)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "the body is not valid: Input data was truncated"),
        (b"{", "the body is not valid: Input data was truncated"),
        (b"{}", "the body is not valid: Object missing required field `data`"),
        (b'{"data":"x","t":1}', "the body is not valid: Object contains unknown field `t`"),
        (b'{"data":"x","group":5}', "the body is not valid: Expected `str | null`, got `int`"),
        (b'{"data":"\xff"}', "the body is not valid: 'utf-8' codec can't decode byte 0xff"),
    ],
)
def test_the_text_names_the_fault(body: bytes, text: str) -> None:
    assert fault(body).startswith(text)


@pytest.mark.parametrize("data", [b"5", b"null", b'{"a":1}', b"[]", b"true"])
def test_data_that_is_not_a_string_gets_a_hint(data: bytes) -> None:
    assert fault(b'{"data":%b}' % data).endswith(
        '- at `$.data`: "data" is a string; JSON-encode any other value'
    )


def test_other_fields_get_no_hint() -> None:
    assert "JSON-encode" not in fault(b'{"data":"x","to":5}')


def test_a_body_that_is_nested_too_deeply() -> None:
    with pytest.raises(JSON_ERRORS) as caught:
        msgspec.json.decode(b"[" * 100_000)
    assert str(invalid_json(caught.value, "body")) == "the body is nested too deeply"


def test_the_text_names_what_was_decoded() -> None:
    assert str(invalid_json(msgspec.DecodeError("why"), "line")) == "the line is not valid: why"

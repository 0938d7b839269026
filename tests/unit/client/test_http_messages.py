"""headrace.client.http_messages: decoding responses."""

import pytest

from headrace.client import Stats, UnreachableError
from headrace.client.http_messages import HttpResponse, decoder, request_error


@pytest.mark.parametrize("body", ["", "no JSON", "[]", '{"version":1}', "\xff", "[" * 100_000])
def test_a_body_that_cannot_be_decoded(body: str) -> None:
    with pytest.raises(UnreachableError, match="not from a Headrace server"):
        decoder(Stats)(HttpResponse(200, (), body.encode("latin-1")))


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ('{"detail":"a","title":"b"}', "a"),
        ('{"title":"b"}', "b"),
        ("{}", "the server responded with status 404"),
        ("[]", "the server responded with status 404"),
        ("<html>", "the server responded with status 404"),
        ("\xff", "the server responded with status 404"),
        ("[" * 100_000, "the server responded with status 404"),
    ],
)
def test_the_detail_of_an_error_response(body: str, detail: str) -> None:
    error = request_error(HttpResponse(404, (("a", "b"),), body.encode("latin-1")))
    assert (error.status, error.detail, error.headers) == (404, detail, (("a", "b"),))
    assert str(error) == detail

"""headrace.client.exchange: what is tried again, and when; no clock, no network."""

from collections.abc import Iterable

import pytest

from headrace.client import RequestError, Stats, UnreachableError
from headrace.client.exchange import (
    Outcome,
    Request,
    Response,
    Retrying,
    Wait,
    exchange,
    reader_of,
    retry_after_s,
)

REQUEST = Request("GET", "/v1/stats")
GONE = UnreachableError("nobody there")


def answer(status: int, body: str = "", **headers: str) -> Response:
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return Response(status, tuple(named), body.encode())


def drive(
    outcomes: Iterable[Outcome], *, budget_s: float = 30.0, jitter: float = 1.0, try_s: float = 0.0
) -> tuple[bytes | Exception, list[float]]:
    """Play a server; return what came of it and the waits. Each try takes `try_s`."""
    now = 100.0
    retrying = Retrying(budget_s, lambda: now, lambda: now, lambda: jitter)
    flow = exchange(REQUEST, lambda response: response.body, retrying)
    left = iter(outcomes)
    waits: list[float] = []
    outcome: Outcome = None
    while True:
        try:
            step = flow.send(outcome)
        except StopIteration as finished:
            result: bytes = finished.value
            break
        except (RequestError, UnreachableError) as error:
            assert next(left, None) is None
            return error, waits
        if isinstance(step, Wait):
            waits.append(step.seconds)
            now += step.seconds
            outcome = None
        else:
            assert step == REQUEST
            now += try_s
            outcome = next(left)
    assert next(left, None) is None
    return result, waits


def test_an_answer() -> None:
    assert drive([answer(200, "yes")]) == (b"yes", [])
    assert drive([answer(204)]) == (b"", [])


@pytest.mark.parametrize("outcome", [GONE, answer(502), answer(503), answer(504)])
def test_it_tries_again_with_growing_waits(outcome: Outcome) -> None:
    result, waits = drive([outcome] * 4 + [answer(200, "at last")])
    assert result == b"at last"
    assert waits == pytest.approx([0.2, 0.8, 3.2, 12.8])


def test_waits_are_jittered() -> None:
    _, waits = drive([GONE, GONE, answer(200)], jitter=0.0)
    assert waits == pytest.approx([0.1, 0.4])


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 405, 409, 413, 429, 500, 501])
def test_a_refusal_is_final(status: int) -> None:
    result, waits = drive([answer(status, '{"detail":"no"}', retry_after="1")])
    assert isinstance(result, RequestError)
    assert (result.status, result.detail, result.headers) == (status, "no", (("retry-after", "1"),))
    assert waits == []


def test_it_gives_up_after_six_tries() -> None:
    result, waits = drive([GONE] * 6, budget_s=1000.0, jitter=0.0)
    assert result is GONE
    assert len(waits) == 5
    result, _ = drive([answer(503, '{"title":"Unavailable"}')] * 6, jitter=0.0)
    assert isinstance(result, RequestError)
    assert (result.status, result.detail) == (503, "Unavailable")


@pytest.mark.parametrize(
    ("budget_s", "jitter", "waits"),
    [
        (1.0, 1.0, [0.2, 0.8]),
        (1.0, 0.0, [0.1, 0.4, 0.5]),
        (10.0, 1.0, [0.2, 0.8, 3.2, 5.8]),
        (10.0, 0.0, [0.1, 0.4, 1.6, 6.4, 1.5]),
        (30.0, 1.0, [0.2, 0.8, 3.2, 12.8, 13.0]),
        (30.0, 0.0, [0.1, 0.4, 1.6, 6.4, 21.5]),
    ],
)
def test_it_tries_for_as_long_as_it_may(budget_s: float, jitter: float, waits: list[float]) -> None:
    result, waited = drive([GONE] * (len(waits) + 1), budget_s=budget_s, jitter=jitter)
    assert result is GONE
    assert waited == pytest.approx(waits)


def test_it_gives_up_when_its_time_is_over() -> None:
    result, waits = drive([GONE] * 2, budget_s=8.0, try_s=4.0)
    assert result is GONE
    assert waits == [0.2]


def test_no_time_means_one_try() -> None:
    assert drive([GONE], budget_s=0) == (GONE, [])


def test_retry_after_is_honoured() -> None:
    _, waits = drive([answer(503, retry_after="7"), answer(200)], jitter=0.5)
    assert waits == pytest.approx([7.1])
    _, waits = drive([answer(503, retry_after="0")] * 4 + [answer(200)])
    assert waits == pytest.approx([0.2, 0.8, 1.0, 1.0])


def test_a_retry_after_beyond_its_time_is_not_waited_for() -> None:
    result, waits = drive([answer(503, retry_after="31")])
    assert isinstance(result, RequestError)
    assert waits == []


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 20),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("-1", None),
        ("1.5", None),
        ("²", None),
        ("soon", None),
        ("Thu, 01 Jan 99999999999999999999 00:02:00 GMT", None),
        ("Thu, 01 Jan 1970 00:02:00 +99999999999999999999", None),
        ("", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after_s((("retry-after", value),), unix=100.0) == seconds


def test_without_retry_after() -> None:
    assert retry_after_s((), unix=100.0) is None


@pytest.mark.parametrize("body", ["", "no JSON", "[]", '{"version":1}', "\xff", "[" * 100_000])
def test_what_is_no_answer(body: str) -> None:
    with pytest.raises(UnreachableError, match="no Headrace server"):
        reader_of(Stats)(Response(200, (), body.encode("latin-1")))


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ('{"detail":"a","title":"b"}', "a"),
        ('{"title":"b"}', "b"),
        ("{}", "the server answered 404"),
        ("[]", "the server answered 404"),
        ("<html>", "the server answered 404"),
        ("\xff", "the server answered 404"),
        ("[" * 100_000, "the server answered 404"),
    ],
)
def test_the_detail_of_a_refusal(body: str, detail: str) -> None:
    error, _ = drive([Response(404, (), body.encode("latin-1"))])
    assert isinstance(error, RequestError)
    assert (error.detail, str(error)) == (detail, detail)

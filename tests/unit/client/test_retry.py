"""headrace.client.retry: which outcomes are retried, and when; without a clock or a network."""

from collections.abc import Iterable

import pytest

from headrace.client import RequestError, UnreachableError
from headrace.client.http_messages import HttpRequest, HttpResponse
from headrace.client.retry import Outcome, RetryPolicy, Wait, request_with_retries

REQUEST = HttpRequest("GET", "/v1/stats")
UNREACHABLE = UnreachableError("connection refused")


def response(status: int, body: str = "", **headers: str) -> HttpResponse:
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return HttpResponse(status, tuple(named), body.encode())


def run(
    outcomes: Iterable[Outcome],
    *,
    budget_s: float = 30.0,
    jitter: float = 1.0,
    attempt_s: float = 0.0,
) -> tuple[bytes | Exception, list[float]]:
    """Return the result and the waits; each attempt takes `attempt_s`."""
    now = 100.0
    policy = RetryPolicy(budget_s, lambda: now, lambda: now, lambda: jitter)
    flow = request_with_retries(REQUEST, lambda response: response.body, policy)
    remaining = iter(outcomes)
    waits: list[float] = []
    outcome: Outcome = None
    while True:
        try:
            step = flow.send(outcome)
        except StopIteration as finished:
            result: bytes = finished.value
            break
        except (RequestError, UnreachableError) as error:
            assert next(remaining, None) is None
            return error, waits
        if isinstance(step, Wait):
            waits.append(step.seconds)
            now += step.seconds
            outcome = None
        else:
            assert step == REQUEST
            now += attempt_s
            outcome = next(remaining)
    assert next(remaining, None) is None
    return result, waits


def test_a_success_is_not_retried() -> None:
    assert run([response(200, "yes")]) == (b"yes", [])
    assert run([response(204)]) == (b"", [])


@pytest.mark.parametrize("outcome", [UNREACHABLE, response(502), response(503), response(504)])
def test_waits_grow(outcome: Outcome) -> None:
    result, waits = run([outcome] * 4 + [response(200, "at last")])
    assert result == b"at last"
    assert waits == pytest.approx([0.2, 0.8, 3.2, 12.8])


def test_waits_have_jitter() -> None:
    _, waits = run([UNREACHABLE, UNREACHABLE, response(200)], jitter=0.0)
    assert waits == pytest.approx([0.1, 0.4])


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 405, 409, 413, 429, 500, 501])
def test_other_errors_are_not_retried(status: int) -> None:
    result, waits = run([response(status, '{"detail":"no"}', retry_after="1")])
    assert isinstance(result, RequestError)
    assert (result.status, result.detail, result.headers) == (status, "no", (("retry-after", "1"),))
    assert waits == []


def test_there_are_at_most_six_attempts() -> None:
    result, waits = run([UNREACHABLE] * 6, budget_s=1000.0, jitter=0.0)
    assert result is UNREACHABLE
    assert len(waits) == 5
    result, _ = run([response(503, '{"title":"Unavailable"}')] * 6, jitter=0.0)
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
def test_the_last_attempt_is_at_the_end_of_the_budget(
    budget_s: float, jitter: float, waits: list[float]
) -> None:
    result, waited = run([UNREACHABLE] * (len(waits) + 1), budget_s=budget_s, jitter=jitter)
    assert result is UNREACHABLE
    assert waited == pytest.approx(waits)


def test_slow_attempts_use_up_the_budget() -> None:
    result, waits = run([UNREACHABLE] * 2, budget_s=8.0, attempt_s=4.0)
    assert result is UNREACHABLE
    assert waits == [0.2]


def test_a_budget_of_0_means_one_attempt() -> None:
    assert run([UNREACHABLE], budget_s=0) == (UNREACHABLE, [])


def test_retry_after_is_the_minimum_wait() -> None:
    _, waits = run([response(503, retry_after="7"), response(200)], jitter=0.5)
    assert waits == pytest.approx([7.1])
    _, waits = run([response(503, retry_after="0")] * 4 + [response(200)])
    assert waits == pytest.approx([0.2, 0.8, 1.0, 1.0])


def test_a_retry_after_over_the_budget_is_not_waited_for() -> None:
    result, waits = run([response(503, retry_after="31")])
    assert isinstance(result, RequestError)
    assert waits == []

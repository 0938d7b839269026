"""The retry policy, as a generator that does no I/O.

    flow = request_with_retries(request, decode, policy)
    step = next(flow)           # an HttpRequest to send, or a Wait
    step = flow.send(outcome)   # its HttpResponse or UnreachableError; None after a Wait
    …                           # StopIteration: `.value` is the decoded response

The blocking and the asynchronous client only carry out the steps, so both share this module, and
its tests need no network and no clock.

Every request can be repeated: a read, a new token, a membership or a revocation has the same
effect twice, and a send has an idempotency key.
"""

from collections.abc import Callable, Generator
from typing import NamedTuple

from headrace.client.errors import UnreachableError
from headrace.client.http_messages import HttpRequest, HttpResponse, Result, request_error
from headrace.client.retry_after import retry_after_s

MAX_ATTEMPTS = 6
"""Attempts of one request, including the first; with the longest waits, they take over a minute."""

FIRST_WAIT_S = 0.2
"""The maximum wait after the first attempt; it grows by a factor of four. The minimum is half."""

RETRIED_STATUSES = frozenset({502, 503, 504})
"""The server is full or restarts, or a proxy cannot reach it: a later attempt may succeed."""


class Wait(NamedTuple):
    """A pause before the next attempt."""

    seconds: float


Step = HttpRequest | Wait
Outcome = HttpResponse | UnreachableError | None
Flow = Generator[Step, Outcome, Result]


class RetryPolicy(NamedTuple):
    """How long to retry, and the sources of time and randomness.

    No attempt starts later than `budget_s` seconds after the first; 0 means a single attempt.
    `monotonic` and `unix` return seconds, `jitter` returns numbers from 0 to 1.
    """

    budget_s: float
    monotonic: Callable[[], float]
    unix: Callable[[], float]
    jitter: Callable[[], float]


def request_with_retries(
    request: HttpRequest, decode: Callable[[HttpResponse], Result], policy: RetryPolicy
) -> Flow[Result]:
    """Send `request` until the response is not 502, 503 or 504; return it decoded.

    Raise RequestError if the final status is not 2xx, UnreachableError if there is no response.
    """
    deadline = policy.monotonic() + policy.budget_s
    for attempt in range(1, MAX_ATTEMPTS + 1):
        outcome = yield request
        if isinstance(outcome, HttpResponse) and outcome.status not in RETRIED_STATUSES:
            break
        assert outcome is not None  # None is the outcome of a Wait
        wait_s = _wait_s(outcome, attempt, policy, deadline - policy.monotonic())
        if wait_s is None or attempt == MAX_ATTEMPTS:
            break
        yield Wait(wait_s)
    assert outcome is not None
    if isinstance(outcome, UnreachableError):
        raise outcome
    if not 200 <= outcome.status <= 299:
        raise request_error(outcome)
    return decode(outcome)


def _wait_s(
    outcome: HttpResponse | UnreachableError, attempt: int, policy: RetryPolicy, remaining_s: float
) -> float | None:
    """Return the wait after an attempt, None if it would exceed the remaining time.

    A `Retry-After` is the minimum. Without one, the wait is cut to the remaining time.
    """
    if remaining_s <= 0:
        return None
    maximum_s = FIRST_WAIT_S * 4.0 ** (attempt - 1)
    if isinstance(outcome, HttpResponse):
        requested_s = retry_after_s(outcome.headers, policy.unix())
        if requested_s is not None:  # jitter, so that not all clients return at the same moment
            wait_s = requested_s + policy.jitter() * min(maximum_s, 1.0)
            return wait_s if wait_s < remaining_s else None
    return min(maximum_s * (0.5 + policy.jitter() / 2), remaining_s)

"""A request, its answer, and the retries between them, without a socket, a clock or a thread.

    flow = exchange(request, read, retrying)      # a generator
    step = next(flow)                             # a Request to be made, or a Wait to be waited
    step = flow.send(outcome)                     # its Response, or the UnreachableError; None
    …                                             # StopIteration: `.value` is what `read` made

Whoever drives it does nothing but what a step says, so the blocking client and the asynchronous
one share all that is worth testing.

Every request of the contract may be repeated: reads, tokens, memberships and revocations are the
same when they are asked for twice, and a send carries an idempotency key.
"""

from collections.abc import Callable, Generator
from email.utils import parsedate_to_datetime
from typing import NamedTuple, TypeVar

import msgspec

from headrace.client.errors import RequestError, UnreachableError

MAX_TRIES = 6
"""How often a request is made, the first time included: with the waits below, in over a minute."""

FIRST_WAIT_S = 0.2
"""The longest first wait; each further one is up to four times as long, and at least half that."""

RETRIED = frozenset({502, 503, 504})
"""The server is full, is restarting, or a proxy found none: another try may do."""

Result = TypeVar("Result")


class Request(NamedTuple):
    """A request to be made; `target` is path and query, percent-encoded."""

    method: str
    target: str
    body: bytes | None = None
    media_type: str = "application/json"


class Response(NamedTuple):
    """A whole answer; the names of headers are in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Wait(NamedTuple):
    """Time to be waited before the next request."""

    seconds: float


Step = Request | Wait
Outcome = Response | UnreachableError | None
Flow = Generator[Step, Outcome, Result]


class Retrying(NamedTuple):
    """When to give up, and where time and chance come from.

    The last try begins `budget_s` seconds after the first, and never later; 0 means one try.
    `monotonic` and `unix` return seconds, `jitter` numbers from 0 to 1.
    """

    budget_s: float
    monotonic: Callable[[], float]
    unix: Callable[[], float]
    jitter: Callable[[], float]


def exchange(
    request: Request, read: Callable[[Response], Result], retrying: Retrying
) -> Flow[Result]:
    """Make `request` until an answer is there that is no 502, 503 or 504; give it to `read`.

    Raises RequestError for an answer that is not 2xx, UnreachableError where there is none.
    """
    give_up_at = retrying.monotonic() + retrying.budget_s
    for number in range(1, MAX_TRIES + 1):
        outcome = yield request
        if isinstance(outcome, Response) and outcome.status not in RETRIED:
            break
        assert outcome is not None  # that is the outcome of a Wait
        wait_s = _wait_s(outcome, number, retrying, give_up_at - retrying.monotonic())
        if wait_s is None or number == MAX_TRIES:
            break
        yield Wait(wait_s)
    assert outcome is not None
    if isinstance(outcome, UnreachableError):
        raise outcome
    if not 200 <= outcome.status <= 299:
        raise refusal(outcome.status, outcome.headers, outcome.body)
    return read(outcome)


def _wait_s(
    outcome: Response | UnreachableError, number: int, retrying: Retrying, left_s: float
) -> float | None:
    """Return how long to wait after try `number`, None where that is more than is left.

    It is never less than a `Retry-After` says. A wait of our own choice is cut to what is left.
    """
    if left_s <= 0:
        return None
    ceiling_s = FIRST_WAIT_S * 4.0 ** (number - 1)
    if isinstance(outcome, Response):
        told_s = retry_after_s(outcome.headers, retrying.unix())
        if told_s is not None:  # spread, so that all who were told the same do not come at once
            wait_s = told_s + retrying.jitter() * min(ceiling_s, 1.0)
            return wait_s if wait_s < left_s else None
    return min(ceiling_s * (0.5 + retrying.jitter() / 2), left_s)


def retry_after_s(headers: tuple[tuple[str, str], ...], unix: float) -> float | None:
    """Return the seconds that `Retry-After` asks to wait; None where it is absent or unreadable.

    It is a number of seconds or a date (RFC 9110 section 10.2.3).
    """
    value = dict(headers).get("retry-after", "").strip()
    if value.isascii() and value.isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - unix)
    except (ValueError, OverflowError):  # the latter for a year or a zone of many digits
        return None


def refusal(status: int, headers: tuple[tuple[str, str], ...], body: bytes) -> RequestError:
    """Return the error that an answer or a line of a batch's answer tells of (RFC 9457)."""
    return RequestError(status, problem_detail(status, body), headers)


def problem_detail(status: int, body: bytes) -> str:
    """Return the text of an `application/problem+json` body, or at least the status."""
    try:
        problem = msgspec.json.decode(body, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        problem = {}
    text = problem.get("detail") or problem.get("title")
    return str(text) if text else f"the server answered {status}"


def reader_of(kind: type[Result]) -> Callable[[Response], Result]:
    """Return a function that reads an answer's JSON as `kind`.

    It raises UnreachableError where the answer is none of a Headrace server.
    """
    decode = msgspec.json.Decoder(kind).decode

    def read(response: Response) -> Result:
        try:
            return decode(response.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UnreachableError(f"what answers there is no Headrace server: {error}") from None

    return read

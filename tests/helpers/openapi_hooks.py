"""Hooks that schemathesis loads: the NDJSON format, and additional checks."""

import re
from typing import Any

import msgspec
import schemathesis
from schemathesis.core.failures import Failure
from schemathesis.openapi.checks import RejectedPositiveData

from headrace.api.routes.batch import NDJSON
from headrace.messages.wire import Problem, SendResponse

# JSON Schema cannot express limits in bytes, or numbers below 2^64 in a string.
BEYOND_SCHEMA = re.compile(r"\bbytes\b|is not an id")


class LineProblem(Problem, frozen=True, forbid_unknown_fields=True):
    """The result of a batch line that is not a valid send."""

    line: int


@schemathesis.serializer(NDJSON)
def to_lines(_context: schemathesis.SerializationContext, value: Any) -> bytes:
    """Return two lines: the text itself, which is rarely a valid send, and a valid send."""
    if isinstance(value, bytes):
        return value
    send = msgspec.json.encode({"to": "alice", "data": str(value)})
    return str(value).encode() + b"\n" + send + b"\n"


@schemathesis.hook
def filter_failure(
    _context: schemathesis.HookContext,
    failure: Failure,
    _case: schemathesis.Case[Any],
    response: schemathesis.Response,
) -> bool:
    """Ignore a failure if the server rejected a value that a schema cannot exclude."""
    if not isinstance(failure, RejectedPositiveData) or response.status_code not in (400, 413):
        return True
    return BEYOND_SCHEMA.search(msgspec.json.decode(response.content, type=Problem).detail) is None


@schemathesis.check
def every_line_has_a_result(
    _context: schemathesis.CheckContext,
    response: schemathesis.Response,
    case: schemathesis.Case[Any],
) -> None:
    if case.operation.path != "/v1/send/batch" or response.status_code != 200:
        return
    body = response.request.body or b""
    assert isinstance(body, bytes)
    lines = [line for line in body.split(b"\n") if line.strip()]
    results = response.content.split(b"\n")
    assert results.pop() == b""
    assert len(results) == len(lines)
    for result in results:
        if b'"sessions"' in result:
            msgspec.json.decode(result, type=SendResponse)
        else:
            msgspec.json.decode(result, type=LineProblem)


@schemathesis.check
class EverySuccessOccurs:
    """Check that every documented 2xx status occurs; 101 and 304 need request headers."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.documented: set[str] = set()

    def after_response(
        self,
        _context: schemathesis.CheckContext,
        response: schemathesis.Response,
        case: schemathesis.Case[Any],
    ) -> None:
        label = case.operation.label
        statuses = case.operation.responses.status_codes
        self.documented |= {f"{label} {status}" for status in statuses if status.startswith("2")}
        self.seen.add(f"{label} {response.status_code}")

    def after_run(self, _context: schemathesis.CheckContext) -> None:
        missing = self.documented - self.seen
        assert not missing, f"these responses never occurred: {', '.join(sorted(missing))}"

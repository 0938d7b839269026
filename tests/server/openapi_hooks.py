"""What schemathesis is told in its own process: about lines, and what a schema cannot say."""

import re
from typing import Any

import msgspec
import schemathesis
from schemathesis.core.failures import Failure
from schemathesis.openapi.checks import RejectedPositiveData

from headrace.api.batch import NDJSON
from headrace.api.openapi import Problem
from headrace.api.send import SendAnswer

# Schemas count characters, and no pattern says "below 2^64": the server's word for the rest.
UNSAYABLE = re.compile(r"\bbytes\b|is not an id")


class LineProblem(Problem, frozen=True, forbid_unknown_fields=True):
    """What a batch answers to a line that is no send."""

    line: int


@schemathesis.serializer(NDJSON)
def to_lines(_context: schemathesis.SerializationContext, value: Any) -> bytes:
    """Return a line with the text alone, which is hardly a send, and one that is a send."""
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
    """Keep a failure unless the server refused what no schema can exclude."""
    if not isinstance(failure, RejectedPositiveData) or response.status_code not in (400, 413):
        return True
    return UNSAYABLE.search(msgspec.json.decode(response.content, type=Problem).detail) is None


@schemathesis.check
def each_line_has_its_answer(
    _context: schemathesis.CheckContext,
    response: schemathesis.Response,
    case: schemathesis.Case[Any],
) -> None:
    if case.operation.path != "/v1/send/batch" or response.status_code != 200:
        return
    body = response.request.body or b""
    assert isinstance(body, bytes)
    asked = [line for line in body.split(b"\n") if line.strip()]
    answers = response.content.split(b"\n")
    assert answers.pop() == b""
    assert len(answers) == len(asked)
    for answer in answers:
        if b'"sessions"' in answer:
            msgspec.json.decode(answer, type=SendAnswer)
        else:
            msgspec.json.decode(answer, type=LineProblem)


@schemathesis.check
class EachAnswerIsSeen:
    """Every success that the document names has been answered; 101 and 304 need headers."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.named: set[str] = set()

    def after_response(
        self,
        _context: schemathesis.CheckContext,
        response: schemathesis.Response,
        case: schemathesis.Case[Any],
    ) -> None:
        label = case.operation.label
        statuses = case.operation.responses.status_codes
        self.named |= {f"{label} {status}" for status in statuses if status.startswith("2")}
        self.seen.add(f"{label} {response.status_code}")

    def after_run(self, _context: schemathesis.CheckContext) -> None:
        missing = self.named - self.seen
        assert not missing, f"never answered: {', '.join(sorted(missing))}"

"""api/responses.py: responses, and the HTTP status of every error."""

import inspect
from typing import Any

import msgspec
import pytest

from headrace import errors
from headrace.api.responses import INTERNAL_ERROR, REPORTED_ERRORS, Response, problem, status_of
from headrace.errors import (
    ConfigError,
    ConflictError,
    ExpiredTokenError,
    ForbiddenError,
    FrameError,
    HeadraceError,
    InputError,
    InvalidTokenError,
    RateLimitedError,
    RequestError,
    RevokedTokenError,
    StateError,
    TokenError,
    TooLargeError,
    UnavailableError,
)
from headrace.messages.wire import Problem, TokenProblem

STATUSES: dict[HeadraceError, int] = {
    InputError("x"): 400,
    TooLargeError("x"): 413,
    ConflictError("x"): 409,
    ForbiddenError("x"): 403,
    ConflictError("x"): 409,
    RateLimitedError("x", 1.5): 429,
    UnavailableError("x"): 503,
    TokenError("x"): 401,
    InvalidTokenError("x"): 401,
    ExpiredTokenError("x"): 401,
    RevokedTokenError("x"): 401,
    RequestError(405, "x"): 405,
    HeadraceError("x"): 500,
    ConfigError("x"): 500,
    StateError("x"): 500,
    FrameError(1002, "x"): 500,
}


class StrictProblem(Problem, frozen=True, forbid_unknown_fields=True):
    pass


class StrictTokenProblem(TokenProblem, frozen=True, forbid_unknown_fields=True):
    pass


def decoded(response: Response) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.json.decode(response.body)
    return fields


def test_the_table_has_every_class_of_the_tree() -> None:
    defined = {
        cls
        for _, cls in inspect.getmembers(errors, inspect.isclass)
        if cls.__module__ == errors.__name__
    }
    assert {type(error) for error in STATUSES} == defined


@pytest.mark.parametrize("error", STATUSES, ids=lambda error: type(error).__name__)
def test_every_error_has_a_status(error: HeadraceError) -> None:
    assert status_of(error) == problem(error).status == STATUSES[error]
    assert isinstance(error, REPORTED_ERRORS) == (STATUSES[error] != 500)


def test_a_subclass_of_an_application_has_the_status_of_its_base() -> None:
    class QuotaError(ForbiddenError):
        pass

    assert status_of(QuotaError("x")) == 403


# --- problem documents -----------------------------------------------------------------------


def test_a_problem_document() -> None:
    response = problem(InputError("the client ID '' is empty"))
    assert decoded(response) == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "the client ID '' is empty",
    }
    assert response.headers == (
        ("content-type", "application/problem+json"),
        ("cache-control", "no-store"),
    )
    msgspec.json.decode(response.body, type=StrictProblem)


def test_a_problem_document_may_have_further_members() -> None:
    assert decoded(problem(TooLargeError("x"), line=7))["line"] == 7


def test_the_headers_of_a_request_error_are_kept() -> None:
    response = problem(RequestError(405, "use GET", (("allow", "GET"),)))
    assert ("allow", "GET") in response.headers


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (UnavailableError("x"), "5"),
        (UnavailableError("x", 0.2), "1"),
        (RateLimitedError("x", 0.01), "1"),
        (RateLimitedError("x", 2.5), "3"),
        (RateLimitedError("x", 7), "7"),
    ],
)
def test_retry_after_is_in_whole_seconds_rounded_up(error: HeadraceError, seconds: str) -> None:
    assert dict(problem(error).headers)["retry-after"] == seconds


@pytest.mark.parametrize(
    ("error", "code", "detail"),
    [
        (InvalidTokenError("bad signature"), 4001, "Invalid+token."),
        (ExpiredTokenError("exp is over"), 4002, "Token+timed+out."),
        (RevokedTokenError("revoked"), 4003, "Token+revoked."),
    ],
)
def test_a_token_fault_has_the_description_of_the_contract(
    error: TokenError, code: int, detail: str
) -> None:
    response = problem(error)
    document = msgspec.json.decode(response.body, type=StrictTokenProblem)
    assert (document.status, document.detail) == (401, detail)
    assert (document.code, document.reason) == (code, str(error))
    assert dict(response.headers)["www-authenticate"] == (
        f'Bearer error="invalid_token", error_description="{error}"'
    )


def test_the_response_to_an_unexpected_exception_shows_no_details() -> None:
    assert INTERNAL_ERROR.status == 500
    assert decoded(INTERNAL_ERROR)["detail"] == (
        "the server failed on this request; its log has the details"
    )


# --- responses -------------------------------------------------------------------------------


def test_a_json_response() -> None:
    response = Response.json(Problem("about:blank", "OK", 200, "fine"), 201)
    assert response.status == 201
    assert dict(response.headers) == {
        "content-type": "application/json",
        "cache-control": "no-store",
    }
    assert decoded(response)["detail"] == "fine"
    assert Response.json({"a": [1, None]}).body == b'{"a":[1,null]}'


def test_a_response_has_no_headers_and_no_body_by_default() -> None:
    assert Response(204) == Response(204, (), b"")

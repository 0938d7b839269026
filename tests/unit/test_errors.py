"""errors.py: the tree is as its docstring draws it, and each class says whose fault it is."""

import inspect
import re

import pytest

from headrace import codes, errors


def drawn() -> dict[str, str]:
    """Return each class in the docstring's drawing, with the class above it."""
    above: list[str] = []
    found = {}
    for line in (errors.__doc__ or "").splitlines():
        matched = re.match(r"    ([│ ]*)(?:[├└]── )?(\w+Error)\b", line)
        if matched is None:
            continue
        depth = len(matched[1]) // 4 + ("──" in line)
        del above[depth:]
        found[matched[2]] = above[-1] if above else "Exception"
        above.append(matched[2])
    return found


def test_the_drawing_is_the_tree() -> None:
    defined = {
        name: cls.__bases__[0].__name__
        for name, cls in inspect.getmembers(errors, inspect.isclass)
        if cls.__module__ == errors.__name__
    }
    assert drawn() == defined


@pytest.mark.parametrize(
    ("error", "close_code", "description"),
    [
        (errors.InvalidTokenError("x"), 4001, "Invalid+token."),
        (errors.ExpiredTokenError("x"), 4002, "Token+timed+out."),
        (errors.RevokedTokenError("x"), 4003, "Token+revoked."),
    ],
)
def test_each_token_fault_has_a_close_code_and_a_description(
    error: errors.TokenError, close_code: int, description: str
) -> None:
    assert (error.close_code, error.description) == (close_code, description)


def test_a_request_error_has_its_response() -> None:
    error = errors.RequestError(405, "use GET", (("allow", "GET"),))
    assert (error.status, error.detail, error.headers) == (405, "use GET", (("allow", "GET"),))
    assert str(error) == "use GET"
    assert errors.RequestError(400, "no").headers == ()


def test_a_frame_error_has_its_close_frame() -> None:
    error = errors.FrameError(codes.INVALID_PAYLOAD, "not UTF-8")
    assert (error.close_code, error.reason, str(error)) == (1007, "not UTF-8", "not UTF-8")


def test_errors_for_a_while_say_for_how_long() -> None:
    limited = errors.RateLimitedError("too often", 1.5)
    assert (str(limited), limited.retry_after_s) == ("too often", 1.5)
    assert errors.UnavailableError("x").retry_after_s == errors.RETRY_AFTER_S == 5
    assert errors.UnavailableError("x", 0.5).retry_after_s == 0.5


def test_data_over_a_limit_is_a_kind_of_invalid_input() -> None:
    assert issubclass(errors.TooLargeError, errors.InputError)

"""headrace.errors: the tree is as its docstring draws it, and each says whose fault it is."""

import inspect
import re

import pytest

from headrace import codes, errors


def drawn() -> dict[str, str]:
    """Each class in the docstring's drawing, with the class above it."""
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
def test_each_token_fault_has_its_status_code_and_description(
    error: errors.TokenError, close_code: int, description: str
) -> None:
    assert (error.status, error.close_code, error.description) == (401, close_code, description)


def test_a_request_error_carries_its_answer() -> None:
    error = errors.RequestError(405, "use GET", (("allow", "GET"),))
    assert (error.status, error.detail, error.headers) == (405, "use GET", (("allow", "GET"),))
    assert str(error) == "use GET"
    assert errors.RequestError(400, "no").headers == ()


def test_a_frame_error_carries_its_close_frame() -> None:
    error = errors.FrameError(codes.INVALID_PAYLOAD, "not UTF-8")
    assert (error.close_code, error.reason, str(error)) == (1007, "not UTF-8", "not UTF-8")


def test_every_code_that_is_sent_has_a_reason_that_fits_its_frame() -> None:
    numbers = {value for name, value in vars(codes).items() if isinstance(value, int)}
    assert set(codes.REASONS) == numbers - {codes.NO_STATUS, codes.ABNORMAL}
    assert all(0 < len(reason.encode()) <= 123 for reason in codes.REASONS.values())
    assert set(codes.REASONS) >= codes.FINAL

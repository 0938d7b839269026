"""Errors of JSON from a request, a line of a batch, or a WebSocket frame."""

from typing import Final

import msgspec

from headrace.errors import InputError

JSON_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""The exceptions that a msgspec decoder raises for malformed input."""


def invalid_json(error: Exception, what: str) -> InputError:
    """Return the error to raise for one of `JSON_ERRORS`; `what` names the data in its text."""
    if isinstance(error, RecursionError):
        return InputError(f"the {what} is nested too deeply")
    text = str(error)
    if "Expected `str`" in text and text.endswith("`$.data`"):
        text += ': "data" is a string; JSON-encode any other value'
    return InputError(f"the {what} is not valid: {text}")

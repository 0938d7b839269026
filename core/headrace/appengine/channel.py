"""`google.appengine.api.channel`: create a channel, send a message.

The names, limits, exceptions and texts are those of App Engine's SDK for Python. A function raises
`Error` itself if the server cannot be reached or rejects the call, and ConfigError if no server is
configured.
"""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from headrace import limits
from headrace.appengine import current_backend
from headrace.appengine.token_format import client_id_in
from headrace.client.errors import UnreachableError
from headrace.errors import ConfigError, HeadraceError, InputError, RequestError, TooLargeError

MAXIMUM_CLIENT_ID_LENGTH = 256
"""Bytes of UTF-8."""

MAXIMUM_TOKEN_DURATION_MINUTES = 24 * 60

MAXIMUM_MESSAGE_LENGTH = 32767
"""Bytes of UTF-8."""


class Error(Exception):
    """Base class of this module's exceptions."""


class InvalidChannelClientIdError(Error):
    """A client ID that is not text, is empty or is too long."""


class InvalidChannelTokenDurationError(Error):
    """A duration that is not an integer from 1 to 1440."""


class InvalidMessageError(Error):
    """A message that is not text, is empty or is too long."""


class AppIdAliasRequired(Error):  # noqa: N818 - App Engine's name
    """Never raised; on App Engine, the application had no alias."""


_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


def _with_channel_errors(
    function: Callable[_Parameters, _Result],
) -> Callable[_Parameters, _Result]:
    """Raise this module's exceptions in place of those of the backend."""

    @functools.wraps(function)
    def call(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        try:
            return function(*args, **kwargs)
        except ConfigError:
            raise
        except UnreachableError as error:
            raise Error(f"the Headrace server cannot be reached: {error}") from error
        except HeadraceError as error:
            raise _channel_error(error)(str(error)) from error

    return call


def _channel_error(error: HeadraceError) -> type[Error]:
    """Return the exception for an error of the backend.

    The arguments were checked, so the server rejects one only if its limits are lower.
    """
    status = error.status if isinstance(error, RequestError) else None
    if status == 413 or isinstance(error, TooLargeError):
        return InvalidMessageError
    if status == 400 or isinstance(error, InputError):
        return InvalidChannelClientIdError
    return Error


@_with_channel_errors
def create_channel(client_id: str | bytes, duration_minutes: float | None = None) -> str:
    """Return a token that lets the client `client_id` listen, for 120 minutes by default.

    `client_id` is text or its UTF-8. Raises InvalidChannelClientIdError, also for a client ID that
    `send_message` would mistake for a token, and InvalidChannelTokenDurationError.
    """
    name = _check_client_id(client_id)
    _check_length(name)
    minutes = _check_duration(duration_minutes)
    backend = current_backend.current()
    if client_id_in(name) is not None and backend.recognises(name):
        raise InvalidChannelClientIdError("Client id is a token, or has the format of one")
    return backend.create_channel(name, minutes)


@_with_channel_errors
def send_message(client_id: str | bytes, message: str | bytes) -> None:
    """Send `message` to a client; it is not an error if the client is not connected.

    Both arguments are text or its UTF-8. `client_id` may also be a token from `create_channel`,
    expired or not, and stands for the client ID in it. Raises InvalidChannelClientIdError and
    InvalidMessageError.
    """
    name = _check_client_id(client_id)
    in_token = client_id_in(name)
    if in_token is not None and current_backend.current().recognises(name):
        name = in_token
    else:
        _check_length(name)
    data = _check_message(message)
    current_backend.current().send(name, data)


def _check_client_id(value: object) -> str:
    if isinstance(value, str):
        text = str.__str__(value)  # a subclass may override __str__
    elif isinstance(value, bytes):
        try:
            text = value.decode()
        except UnicodeDecodeError:
            raise InvalidChannelClientIdError("Client id must be UTF-8") from None
    else:
        raise InvalidChannelClientIdError(f'"{value}" is not a string.')
    if not text:
        raise InvalidChannelClientIdError("Client id must not be empty")
    return text


def _check_length(client_id: str) -> None:
    try:
        length = len(client_id.encode())
    except UnicodeEncodeError:
        raise InvalidChannelClientIdError("Client id contains a lone surrogate") from None
    if length > MAXIMUM_CLIENT_ID_LENGTH:
        raise InvalidChannelClientIdError(
            f"Client id length {length} is greater than max length {MAXIMUM_CLIENT_ID_LENGTH}"
        )


def _check_duration(value: object) -> int:
    if value is None:
        return limits.TOKEN_DEFAULT_MINUTES
    if not isinstance(value, int) and not (isinstance(value, float) and value.is_integer()):
        raise InvalidChannelTokenDurationError("Argument duration_minutes must be integral")
    if value < 1:
        raise InvalidChannelTokenDurationError("Argument duration_minutes must not be less than 1")
    if value > MAXIMUM_TOKEN_DURATION_MINUTES:
        raise InvalidChannelTokenDurationError(
            f"Argument duration_minutes must be less than {MAXIMUM_TOKEN_DURATION_MINUTES + 1}"
        )
    return int(value)


def _check_message(value: object) -> str:
    if isinstance(value, str):
        text = str.__str__(value)
        try:
            length = len(text.encode())
        except UnicodeEncodeError:
            raise InvalidMessageError("Message contains a lone surrogate") from None
    elif isinstance(value, bytes):
        length = len(value)
        try:
            text = value.decode()
        except UnicodeDecodeError:
            raise InvalidMessageError("Message must be UTF-8") from None
    else:
        raise InvalidMessageError("Message must be a string")
    if not length:
        raise InvalidMessageError("Message must not be empty")
    if length > MAXIMUM_MESSAGE_LENGTH:
        raise InvalidMessageError(f"Message must be no longer than {MAXIMUM_MESSAGE_LENGTH} chars")
    return text

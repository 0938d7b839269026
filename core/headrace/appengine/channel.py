"""`google.appengine.api.channel`: make a channel, send a message.

The names, limits, exceptions and texts are those of App Engine's SDK for Python. `Error` itself is
raised where the server cannot be reached or refuses, ConfigError where it is not said which
server.
"""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from headrace import limits
from headrace.appengine import choice
from headrace.appengine.form import client_id_in
from headrace.client.errors import RequestError, UnreachableError

MAXIMUM_CLIENT_ID_LENGTH = 256
"""Bytes of UTF-8."""

MAXIMUM_TOKEN_DURATION_MINUTES = 24 * 60

MAXIMUM_MESSAGE_LENGTH = 32767
"""Bytes of UTF-8."""


class Error(Exception):
    """The root of this module's exceptions."""


class InvalidChannelClientIdError(Error):
    """A client ID that is not a string, empty or too long."""


class InvalidChannelTokenDurationError(Error):
    """A duration that is not a whole number from 1 to 1440."""


class InvalidMessageError(Error):
    """A message that is not text, empty or too long."""


class AppIdAliasRequired(Error):  # noqa: N818 - App Engine's name
    """Never raised: it was about applications without an alias on App Engine."""


_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


def _with_channel_errors(
    function: Callable[_Parameters, _Result],
) -> Callable[_Parameters, _Result]:
    """Turn what a server says into this module's exceptions."""

    @functools.wraps(function)
    def call(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        try:
            return function(*args, **kwargs)
        except RequestError as error:
            # All other faults have been found before: what is left is a server with lower limits.
            kinds = {400: InvalidChannelClientIdError, 413: InvalidMessageError}
            raise kinds.get(error.status, Error)(error.detail) from error
        except UnreachableError as error:
            raise Error(f"the Headrace server cannot be reached: {error}") from error

    return call


@_with_channel_errors
def create_channel(client_id: str, duration_minutes: float | None = None) -> str:
    """Return a token with which the client `client_id` can listen, for 120 minutes or as said.

    Raises InvalidChannelClientIdError and InvalidChannelTokenDurationError. The client ID must not
    look like a token: `send_message` could not tell the two apart.
    """
    name = _check_client_id(client_id)
    _check_length(name)
    minutes = _check_duration(duration_minutes)
    chosen = choice.current()
    if client_id_in(name) is not None and chosen.recognises(name):
        raise InvalidChannelClientIdError("Client id is a token, or cannot be told from one")
    return chosen.create_channel(name, minutes)


@_with_channel_errors
def send_message(client_id: str, message: str | bytes) -> None:
    """Send `message`, text or its UTF-8, to a client; nobody connected is no error.

    `client_id` may also be a token of `create_channel`'s: then the message goes to the client
    that it is for, also when it has expired. Raises InvalidChannelClientIdError and
    InvalidMessageError.
    """
    name = _check_client_id(client_id)
    in_token = client_id_in(name)
    if in_token is not None and choice.current().recognises(name):
        name = in_token
    else:
        _check_length(name)
    data = _check_message(message)
    choice.current().send(name, data)


def _check_client_id(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidChannelClientIdError(f'"{value}" is not a string.')
    text = str.__str__(value)  # without the subclass that it may be of
    if not text:
        raise InvalidChannelClientIdError("Client id must not be empty")
    return text


def _check_length(client_id: str) -> None:
    try:
        length = len(client_id.encode())
    except UnicodeEncodeError:
        raise InvalidChannelClientIdError("Client id has half of a surrogate pair") from None
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
            raise InvalidMessageError("Message has half of a surrogate pair") from None
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

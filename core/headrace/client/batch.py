"""A part of a batch: sends encoded for one `POST /v1/send/batch`, and their results.

A batch of any length is sent as several requests of limited size. A single request could deadlock:
an HTTP client writes the whole request before it reads the response, but the server responds while
it reads, so both sides would wait for the other to read. A limited request can also be retried.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from headrace.client.errors import InputError, RequestError, UnreachableError
from headrace.client.http_messages import HttpResponse, not_headrace, problem_detail
from headrace.client.models import Send, Sent

BATCH_MAX_SENDS = 500
"""Their responses take about 40 KiB, which socket buffers hold while the client does not read."""

BATCH_MAX_BYTES = 256 * 1024
"""The send that reaches this size is the last of its request."""

SendResult = Sent | RequestError | InputError


class Batch:
    """The sends of one request; full after `BATCH_MAX_SENDS` or `BATCH_MAX_BYTES`."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._size_bytes = 0
        self._not_encodable: dict[int, InputError] = {}  # by index in the batch

    def __len__(self) -> int:
        return len(self._lines) + len(self._not_encodable)

    @property
    def is_full(self) -> bool:
        """True if no send may be added: the batch is to be sent."""
        return len(self) >= BATCH_MAX_SENDS or self._size_bytes >= BATCH_MAX_BYTES

    def add(self, send: Send) -> None:
        """Add a send; one that cannot be encoded is not sent, and its result is the error."""
        try:
            line = to_json(send)
        except InputError as error:
            self._not_encodable[len(self)] = error
        else:
            self._lines.append(line)
            self._size_bytes += len(line)

    @property
    def body(self) -> bytes:
        """The body of the request, NDJSON."""
        return b"".join([line + b"\n" for line in self._lines])

    def decode(self, response: HttpResponse) -> list[SendResult]:
        """Return the result of each send, in order.

        Raise UnreachableError if the response has another number of lines than the request.
        """
        lines = [line for line in response.body.split(b"\n") if line]
        if len(lines) != len(self._lines):
            raise UnreachableError(
                f"the response to a batch of {len(self._lines)} sends has {len(lines)} lines"
            )
        results = [_decode_line(line) for line in lines]
        for index, error in self._not_encodable.items():  # in ascending order
            results.insert(index, error)
        return results


class _Problem(msgspec.Struct):
    """What distinguishes the line of a failed send: a problem document has a status."""

    status: int


def _decode_line(line: bytes) -> SendResult:
    try:
        return _decode_sent(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        status = _decode_problem(line).status
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_headrace(error) from None
    return RequestError(status, problem_detail(status, line))


def to_json(value: object) -> bytes:
    """Return `value` as JSON; raise InputError for a string with a lone surrogate."""
    try:
        return _encode(value)
    except UnicodeEncodeError as error:
        raise InputError(
            f"a string has a lone surrogate at character {error.start}; send valid Unicode"
        ) from None


def targets(to: str | Iterable[str]) -> str | tuple[str, ...]:
    """Return a client ID, or any iterable of client IDs, as a value that JSON can represent."""
    return to if isinstance(to, str) else tuple(to)


def plain(text: str) -> str:
    """Return `text` as an exact str: template engines return subclasses ("safe strings")."""
    return str.__str__(text)


def _encode_subclass(value: Any) -> str:
    if isinstance(value, str):
        return plain(value)
    raise TypeError(f"a value is {type(value).__name__}; it must be a string")


_encode = msgspec.json.Encoder(enc_hook=_encode_subclass).encode
_decode_sent = msgspec.json.Decoder(Sent).decode
_decode_problem = msgspec.json.Decoder(_Problem).decode

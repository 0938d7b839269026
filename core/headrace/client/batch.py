"""Sends on their way to `POST /v1/send/batch`: gathered, encoded, and matched with their answers.

A batch of any length travels as requests of bounded size, one after the other. One request for
all would be shorter, but an HTTP client writes its request before it reads the answer, and the
server answers while it reads: with both sides waiting for the other to read, nothing would move.
A bounded request can also be made again when the connection breaks.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from headrace.client.errors import RequestError, UnreachableError
from headrace.client.exchange import Response, problem_detail
from headrace.client.values import Send, Sent

BATCH_MAX_SENDS = 500
"""Their answers are some 40 KiB: they fit what the kernel buffers while nobody reads."""

BATCH_MAX_BYTES = 256 * 1024
"""A request ends with the send that passes it."""


class Batch:
    """The sends of one request; full after `BATCH_MAX_SENDS` or `BATCH_MAX_BYTES`."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._size_bytes = 0
        self._refused: dict[int, RequestError] = {}  # by place: what no JSON can say

    def __len__(self) -> int:
        return len(self._lines) + len(self._refused)

    @property
    def is_full(self) -> bool:
        """Whether it is time to send it."""
        return len(self) >= BATCH_MAX_SENDS or self._size_bytes >= BATCH_MAX_BYTES

    def add(self, send: Send) -> None:
        """Take one more; a send that cannot be encoded fails alone, and is not sent."""
        try:
            line = to_json(send)
        except RequestError as error:
            self._refused[len(self)] = error
        else:
            self._lines.append(line)
            self._size_bytes += len(line)

    @property
    def body(self) -> bytes:
        """The request's body, NDJSON."""
        return b"".join([line + b"\n" for line in self._lines])

    def read(self, response: Response) -> list[Sent | RequestError]:
        """Return each send's answer, in the order in which they were added.

        UnreachableError where there are not as many as sends.
        """
        lines = [line for line in response.body.split(b"\n") if line]
        if len(lines) != len(self._lines):
            raise UnreachableError(f"to {len(self._lines)} sends came {len(lines)} answers")
        answers = [_read_line(line) for line in lines]
        for place, error in self._refused.items():  # in rising order
            answers.insert(place, error)
        return answers


class _Problem(msgspec.Struct):
    """The member of a failed line's answer that tells it from a good one's."""

    status: int


def _read_line(line: bytes) -> Sent | RequestError:
    try:
        return _decode_sent(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    try:
        status = _decode_problem(line).status
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreachableError(f"what answers there is no Headrace server: {error}") from None
    return RequestError(status, problem_detail(status, line))


def to_json(value: object) -> bytes:
    """Return `value` as JSON; RequestError (400) for text that is not Unicode."""
    try:
        return _encode(value)
    except UnicodeEncodeError as error:
        raise RequestError(
            400, f"there is half of a surrogate pair at character {error.start} of a text"
        ) from None


def targets(to: str | Iterable[str]) -> str | tuple[str, ...]:
    """Return a client ID, or any kind of several, as JSON can say it."""
    return to if isinstance(to, str) else tuple(to)


def plain(text: str) -> str:
    """Return `text` without the subclass of str that it may be of, as templates' safe strings."""
    return str.__str__(text)


def _plain_or_refuse(value: Any) -> str:
    if isinstance(value, str):
        return plain(value)
    raise TypeError(f"a {type(value).__name__} cannot be sent; give text")


_encode = msgspec.json.Encoder(enc_hook=_plain_or_refuse).encode
_decode_sent = msgspec.json.Decoder(Sent).decode
_decode_problem = msgspec.json.Decoder(_Problem).decode

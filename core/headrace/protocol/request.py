"""What an HTTP connection tells: a request, pieces of its body, its end."""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Request:
    """A request's head, checked (RFC 9112 sections 3 and 5).

    `method` and `target` are as sent. `path` and `query` are the target's parts, still
    percent-encoded, without the `?`; of an absolute-form target (section 3.2.2) the path counts,
    and its authority stands in `headers` as the host. The names in `headers` are in lower case,
    the values are decoded as Latin-1. `http_version` is `"1.1"` or `"1.0"`.
    """

    method: str
    target: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    http_version: str

    def header(self, name: str) -> str | None:
        """Return the first value of that header, or None; `name` is in lower case."""
        for found, value in self.headers:
            if found == name:
                return value
        return None

    def header_list(self, name: str) -> list[str]:
        """Return the elements of a comma-separated header (RFC 9110 section 5.6.1).

        All lines of that name count, in order; elements are stripped and empty ones left out.
        Not for headers whose elements hold quoted strings. `name` is in lower case.
        """
        return [
            element
            for found, value in self.headers
            if found == name
            for piece in value.split(",")
            if (element := piece.strip(" \t"))
        ]

    @property
    def expects_body(self) -> bool:
        """Whether a body of at least one byte is announced; a chunked one may yet be empty."""
        for name, value in self.headers:
            if name == "transfer-encoding":
                return True
            if name == "content-length":
                return int(value) > 0
        return False


@dataclass(frozen=True, slots=True)
class Body:
    """A piece of the request's body, never empty; where it is cut has no meaning."""

    data: bytes


@dataclass(frozen=True, slots=True)
class EndOfRequest:
    """The request is whole; it follows every Request, with or without a body between."""


Event: TypeAlias = Request | Body | EndOfRequest

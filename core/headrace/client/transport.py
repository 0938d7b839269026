"""What both clients tell httpx2 and hear from it."""

import ssl

import httpx2

from headrace.client.address import Address
from headrace.client.errors import UnreachableError
from headrace.client.exchange import Response

TIMEOUT_S = 10.0
"""The longest wait for a connection, for a piece of an answer, or to send one of a request."""

RETRY_S = 30.0
"""No try begins later than so many seconds after the first."""


def tls_context(chosen: ssl.SSLContext | None, address: Address) -> ssl.SSLContext | bool:
    """Return what httpx2 is to verify with: True for the system's authorities.

    Loading those takes a tenth of a second, which a server without TLS need not cost.
    """
    if chosen is not None:
        return chosen
    if address.url is not None and address.url.startswith("https:"):
        return True
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody


def response_of(answer: httpx2.Response) -> Response:
    """Return an answer that has been read."""
    return Response(answer.status_code, tuple(answer.headers.items()), answer.content)


def unreachable(url: str, error: httpx2.HTTPError) -> UnreachableError:
    """Return the error to give for one of httpx2's."""
    if isinstance(error, httpx2.TimeoutException):
        text = "no answer in time"
    else:
        text = str(error) or type(error).__name__
    failure = UnreachableError(f"{url}: {text}")
    failure.__cause__ = error
    return failure

"""What both clients need to make their requests with httpx2."""

import ssl

import httpx2

from headrace.client.address import Address
from headrace.client.errors import UnreachableError
from headrace.client.http_messages import HttpResponse

TIMEOUT_S = 10.0
"""The default timeout for connecting, and for each read and write."""

RETRY_S = 30.0
"""The default time for retries: no attempt starts later than this after the first."""


def tls_context(context: ssl.SSLContext | None, address: Address) -> ssl.SSLContext | bool:
    """Return the `verify` argument for httpx2; True means the system's certificate authorities.

    Loading those takes 0.1 s, so they are not loaded for a URL without TLS.
    """
    if context is not None:
        return context
    if address.url is not None and address.url.startswith("https:"):
        return True
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without any authority


def to_response(response: httpx2.Response) -> HttpResponse:
    """Return a response whose body was read."""
    return HttpResponse(response.status_code, tuple(response.headers.items()), response.content)


def to_unreachable(url: str, error: httpx2.HTTPError) -> UnreachableError:
    """Return the error to raise for one of httpx2's."""
    if isinstance(error, httpx2.TimeoutException):
        text = "the server did not respond in time"
    else:
        text = str(error) or type(error).__name__
    unreachable = UnreachableError(f"{url}: {text}")
    unreachable.__cause__ = error
    return unreachable

"""Requests to the application-facing routes of a server.

`headrace send` and `headrace listen` ask through it; it knows no more of the routes than that
they take JSON with a bearer key and answer JSON or `application/problem+json` (RFC 9457).
"""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx2
import msgspec

from headrace.errors import ConfigError, RequestError

REQUEST_TIMEOUT_S = 30.0
"""The longest wait for a connection, for a piece of the answer, or to send one of the request."""


def check_base_url(url: str, source: str) -> str:
    """Return `url` without its last slash; ConfigError, naming `source`, where it is no base URL.

    A base URL is `http://` or `https://`, a host, perhaps a port and a path.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # the port is no number, or the brackets of an IPv6 address are open
        usable = False
    if not usable or not re.fullmatch(r"[!-~]+", url) or parts.query or parts.fragment:
        raise ConfigError(f"{source} is {url!a}; it must be like http://127.0.0.1:8080, in ASCII")
    return url.rstrip("/")


async def post(
    base_url: str, path: str, api_key: str, body: Mapping[str, object]
) -> dict[str, object]:
    """Post `body` as JSON to `path` and return the answer's object.

    Raises RequestError with the status and detail of an answer that is not 2xx, ConnectionError
    where there is none, and ConfigError for an API key that no header can carry.
    """
    if not re.fullmatch(r"[!-~]+", api_key):
        raise ConfigError("api_key has characters that no header can carry: `headrace keygen`")
    headers = {"authorization": f"Bearer {api_key}", "content-type": "application/json"}
    async with httpx2.AsyncClient(timeout=REQUEST_TIMEOUT_S) as client:
        try:
            response = await client.post(
                base_url + path, content=msgspec.json.encode(body), headers=headers
            )
        except httpx2.HTTPError as error:
            raise ConnectionError(str(error) or type(error).__name__) from None
    if not response.is_success:
        raise RequestError(
            response.status_code,
            problem_detail(response.status_code, response.content),
            tuple(response.headers.items()),
        )
    answer = _decode(response.content)
    if answer is None:
        raise ConnectionError("what answers there is no Headrace server")
    return answer


def problem_detail(status: int, body: bytes) -> str:
    """Return the text of an `application/problem+json` body, or at least the status."""
    problem = _decode(body) or {}
    text = problem.get("detail") or problem.get("title")
    return str(text) if text else f"the server answered {status}"


def _decode(body: bytes) -> dict[str, object] | None:
    try:
        return msgspec.json.decode(body, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None

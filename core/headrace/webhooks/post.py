"""One signed POST to the application, by httpx2."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Iterable
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import NamedTuple

import httpx2

from headrace import limits
from headrace.client.exchange import retry_after_s
from headrace.errors import ConfigError
from headrace.version import __version__
from headrace.webhooks.signing import Signer

_ANSWER_MAX_BYTES = 64 * 1024
_ANSWER_MAX_S = 1.0
_KEEP_ALIVE_S = 2.0  # shorter than most servers', which would close just as we write


class Fault(NamedTuple):
    """Why an attempt has failed; `at_least_s` is what the application asked to wait."""

    text: str
    at_least_s: float = 0.0


class Poster:
    """Posts to paths below `app_url`, over at most `connections` at a time."""

    def __init__(self, app_url: str, secrets: Iterable[str], connections: int) -> None:
        """ConfigError for a URL that cannot be used."""
        self.signer = Signer(secrets)
        try:
            url = httpx2.URL(app_url)
        except httpx2.InvalidURL as error:
            raise ConfigError(f"app_url cannot be used: {error}") from None
        self._url = str(url.copy_with(userinfo=b"")).rstrip("/")  # logged by some, so no password
        tls = url.scheme == "https"
        self._http = httpx2.AsyncClient(
            auth=httpx2.BasicAuth(url.username, url.password) if url.userinfo else None,
            headers={"user-agent": f"headrace/{__version__}"},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),  # none is kept
            # OpenSSL's defaults honour SSL_CERT_FILE. Without TLS: trusts nobody, and costs less.
            verify=ssl.create_default_context() if tls else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            timeout=None,  # who posts bounds the whole of it
            limits=httpx2.Limits(
                max_connections=connections,
                max_keepalive_connections=connections,
                keepalive_expiry=_KEEP_ALIVE_S,
            ),
            trust_env=False,  # the application is ours: no proxy, no .netrc
        )

    async def post(self, path: str, media_type: str, webhook_id: str, body: bytes) -> Fault | None:
        """Make one attempt, and return why it failed, if it did: only a 2xx will do."""
        headers = self.signer.headers(webhook_id, time.time(), body)
        headers["content-type"] = media_type
        try:
            async with self._http.stream(
                "POST", self._url + path, content=body, headers=headers
            ) as answer:
                await _read(answer)
        except httpx2.HTTPError as error:
            return Fault(str(error) or type(error).__name__)
        if answer.is_success:
            return None
        text = f"it answers {answer.status_code}"
        if answer.has_redirect_location:
            text += ", and redirects are not followed: set app_url to where it leads"
        told_s = retry_after_s(tuple(answer.headers.items()), time.time()) or 0.0
        return Fault(text, min(told_s, limits.NOTICE_WAIT_MAX_S))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()


async def _read(answer: httpx2.Response) -> None:
    """Read an answer's body, so that its connection can be used again; but not one without end.

    What matters is said by the status: a body that breaks off is none the worse.
    """
    size_bytes = 0
    with contextlib.suppress(httpx2.HTTPError, TimeoutError):
        async with asyncio.timeout(_ANSWER_MAX_S):
            async for piece in answer.aiter_raw():
                size_bytes += len(piece)
                if size_bytes > _ANSWER_MAX_BYTES:
                    return

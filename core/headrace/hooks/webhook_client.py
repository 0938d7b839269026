"""Signed POST requests to the application, made with httpx2."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Iterable
from enum import Enum
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final, NamedTuple

import httpx2

from headrace.client.retry_after import retry_after_s
from headrace.errors import ConfigError
from headrace.hooks.signing import Signer
from headrace.version import __version__

_RESPONSE_MAX_BYTES = 64 * 1024
_RESPONSE_MAX_S = 1.0
_KEEP_ALIVE_S = 2.0  # shorter than that of most servers, which might close while we write


_NO_HANDLER_STATUSES: Final = frozenset({404, 405, 410, 501})


class FailureKind(Enum):
    """How an attempt failed."""

    NOT_SENT = "not sent"
    UNREACHABLE = "unreachable"  # no response: not connected, connection lost, or timed out
    NO_HANDLER = "no handler"  # status 404, 405, 410 or 501
    REJECTED = "rejected"  # any other status that is not 2xx


class DeliveryFailure(NamedTuple):
    """Why an attempt failed; `retry_after_s` is the wait that the application asked for."""

    kind: FailureKind
    reason: str
    retry_after_s: float = 0.0

    @property
    def is_response(self) -> bool:
        """True if the application responded, so that it is up."""
        return self.kind in (FailureKind.NO_HANDLER, FailureKind.REJECTED)


TIMED_OUT: Final = DeliveryFailure(
    FailureKind.UNREACHABLE, "the application did not respond in time"
)


class WebhookClient:
    """Makes requests to paths below `app_url`, over at most `connections` at a time.

    It can be created without a running event loop.
    """

    def __init__(self, app_url: str, secrets: Iterable[str], connections: int) -> None:
        """Raise ConfigError for a URL that cannot be used."""
        self.signer = Signer(secrets)
        try:
            url = httpx2.URL(app_url)
        except httpx2.InvalidURL as error:
            raise ConfigError(f"app_url cannot be used: {error}") from None
        self._url = str(url.copy_with(userinfo=b"")).rstrip("/")  # may be logged: no password
        tls = url.scheme == "https"
        self._http = httpx2.AsyncClient(
            auth=httpx2.BasicAuth(url.username, url.password) if url.userinfo else None,
            headers={"user-agent": f"headrace/{__version__}"},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),  # stores none
            # The default context honours SSL_CERT_FILE. Without TLS, one that loads no
            # certificates is cheaper to create.
            verify=ssl.create_default_context() if tls else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            timeout=None,  # the caller limits the whole attempt
            limits=httpx2.Limits(
                max_connections=connections,
                max_keepalive_connections=connections,
                keepalive_expiry=_KEEP_ALIVE_S,
            ),
            trust_env=False,  # app_url is reached directly: no proxy, no .netrc
        )

    async def post(
        self, path: str, media_type: str, webhook_id: str, body: bytes
    ) -> DeliveryFailure | None:
        """Make one attempt; return None for a 2xx response, else why the attempt failed."""
        headers = self.signer.headers(webhook_id, time.time(), body)
        headers["content-type"] = media_type
        try:
            async with self._http.stream(
                "POST", self._url + path, content=body, headers=headers
            ) as response:
                await _discard_body(response)
        except httpx2.HTTPError as error:
            return DeliveryFailure(FailureKind.UNREACHABLE, str(error) or type(error).__name__)
        if response.is_success:
            return None
        reason = f"the application responded with status {response.status_code}"
        if response.status_code in _NO_HANDLER_STATUSES:
            return DeliveryFailure(FailureKind.NO_HANDLER, reason)
        if response.has_redirect_location:
            reason += "; redirects are not followed, so set app_url to the redirect's target"
        wait_s = retry_after_s(response.headers.items(), time.time())
        return DeliveryFailure(FailureKind.REJECTED, reason, wait_s or 0.0)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()


async def _discard_body(response: httpx2.Response) -> None:
    """Read a response's body so that its connection can be reused, up to a size and a time.

    Only the status counts: a body that is cut off is not a failure.
    """
    size_bytes = 0
    with contextlib.suppress(httpx2.HTTPError, TimeoutError):
        async with asyncio.timeout(_RESPONSE_MAX_S):
            async for chunk in response.aiter_raw():
                size_bytes += len(chunk)
                if size_bytes > _RESPONSE_MAX_BYTES:
                    return

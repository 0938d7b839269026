"""The client's operations, one for each route of the application-facing API.

Each one is a generator that `Client` and `AsyncClient` run; see `headrace.client.retry`.
"""

import random
import time
import uuid
from collections.abc import Callable, Iterable
from urllib.parse import quote

import msgspec

from headrace import limits
from headrace.auth.tokens import TokenSigner
from headrace.client.address import Address
from headrace.client.batch import Batch, SendResult, plain, to_json
from headrace.client.errors import ConfigError, InputError
from headrace.client.http_messages import HttpRequest, HttpResponse, Result, decoder
from headrace.client.models import Channel, GroupPresence, Presence, Send, Sent, Stats
from headrace.client.retry import Flow, RetryPolicy, request_with_retries
from headrace.messages.validation import utf8_size
from headrace.messages.wire import ChannelRequest


class Operations:
    """The operations on one server."""

    def __init__(self, address: Address, secret: str | bytes | None, retry_s: float) -> None:
        """With a `secret`, tokens are minted here; raise ConfigError if it is too short.

        No request is retried later than `retry_s` seconds after its first attempt.
        """
        self._address = address
        self._policy = RetryPolicy(retry_s, time.monotonic, time.time, random.random)
        self._signer: TokenSigner | None = None
        if secret is not None:
            key = secret.encode() if isinstance(secret, str) else secret
            # Only the server knows its limit on client IDs; here, the token's size limits them.
            self._signer = TokenSigner([key], client_id_max_bytes=limits.TOKEN_MAX_BYTES)

    @property
    def url(self) -> str:
        """The server's base URL; raise ConfigError if it is not known."""
        if self._address.url is None:
            raise ConfigError(
                "no URL is set: give url or HEADRACE_URL, for example http://127.0.0.1:8080"
            )
        return self._address.url

    def headers(self, request: HttpRequest) -> dict[str, str]:
        """Return the headers of a request; raise ConfigError if the API key is not known."""
        if self._address.api_key is None:
            raise ConfigError(
                "no API key is set: give the server's, as api_key or HEADRACE_API_KEY"
            )
        headers = {"authorization": f"Bearer {self._address.api_key}"}
        if request.body is not None:
            headers["content-type"] = request.media_type
        return headers

    def create_channel(
        self, client_id: str, duration_minutes: int, groups: Iterable[str], send: Iterable[str]
    ) -> Flow[Channel]:
        """Mint a token with the secret, or request one from the server."""
        if self._signer is None:
            body = ChannelRequest(client_id, duration_minutes, tuple(groups), tuple(send))
            return (yield from self._call("POST", "/v1/channels", _decode_channel, body))
        minted = self._signer.mint(
            plain(client_id),
            now=self._policy.unix(),
            minutes=duration_minutes,
            groups=[plain(group) for group in groups],
            send=[plain(target) for target in send],
        )
        return Channel(minted.token, plain(client_id), minted.expires_at)

    def send(self, send: Send) -> Flow[Sent]:
        """Send a message exactly once, also with retries."""
        send = self.with_idempotency_key(send)
        return (yield from self._call("POST", "/v1/send", _decode_sent, send))

    def send_batch(self, batch: Batch) -> Flow[list[SendResult]]:
        """Send a batch and return the results in order."""
        if not batch.body:
            return batch.decode(HttpResponse(200, (), b""))
        request = HttpRequest("POST", "/v1/send/batch", batch.body, "application/x-ndjson")
        return (yield from request_with_retries(request, batch.decode, self._policy))

    def presence(self, client_id: str) -> Flow[Presence]:
        """Return the presence of a client."""
        path = f"/v1/presence/{quoted('client ID', client_id)}"
        return (yield from self._call("GET", path, _decode_presence))

    def presence_of_group(self, group: str) -> Flow[GroupPresence]:
        """Return the clients of a group that are online."""
        target = f"/v1/presence?group={quoted('group name', group)}"
        return (yield from self._call("GET", target, _decode_group_presence))

    def join(self, client_id: str, group: str) -> Flow[int]:
        """Add a client to a group."""
        return (yield from self._call("PUT", _member_path(group, client_id), _decode_sessions))

    def leave(self, client_id: str, group: str) -> Flow[int]:
        """Remove a client from a group."""
        return (yield from self._call("DELETE", _member_path(group, client_id), _decode_sessions))

    def revoke(self, client_id: str) -> Flow[int]:
        """Close the sessions of a client and revoke its tokens."""
        path = f"/v1/channels/{quoted('client ID', client_id)}"
        return (yield from self._call("DELETE", path, _decode_sessions))

    def stats(self) -> Flow[Stats]:
        """Return the server's statistics."""
        return (yield from self._call("GET", "/v1/stats", _decode_stats))

    def with_idempotency_key(self, send: Send) -> Send:
        """Return `send` with an idempotency key, which only retries need."""
        if send.idempotency_key is not None or not self._policy.budget_s:
            return send
        return msgspec.structs.replace(send, idempotency_key=str(uuid.uuid4()))

    def _call(
        self,
        method: str,
        target: str,
        decode: Callable[[HttpResponse], Result],
        body: object = None,
    ) -> Flow[Result]:
        request = HttpRequest(method, target, None if body is None else to_json(body))
        return (yield from request_with_retries(request, decode, self._policy))


def quoted(what: str, name: str) -> str:
    """Return a client ID or a group name, percent-encoded for a path segment or a query value.

    Raise InputError if it is empty or has a lone surrogate: neither can be encoded.
    """
    if not utf8_size(what, name):
        raise InputError(f"the {what} is empty")
    if name in (".", ".."):  # unencoded, they would be resolved as relative path segments
        return name.replace(".", "%2E")
    return quote(name, safe="")


def _member_path(group: str, client_id: str) -> str:
    return f"/v1/groups/{quoted('group name', group)}/members/{quoted('client ID', client_id)}"


class _SessionCount(msgspec.Struct):
    """The part of `RevokeResponse` and `MembershipResponse` that the client returns."""

    sessions: int


def _decode_sessions(response: HttpResponse) -> int:
    return _decode_session_count(response).sessions


_decode_channel = decoder(Channel)
_decode_sent = decoder(Sent)
_decode_session_count = decoder(_SessionCount)
_decode_presence = decoder(Presence)
_decode_group_presence = decoder(GroupPresence)
_decode_stats = decoder(Stats)

"""Each application-facing route as a flow: what to ask, and how to read the answer.

`Client` and `AsyncClient` drive these flows; see `headrace.client.exchange`.
"""

import random
import time
import uuid
from collections.abc import Callable, Iterable
from urllib.parse import quote

import msgspec

from headrace import limits
from headrace.client.address import Address
from headrace.client.batch import Batch, plain, to_json
from headrace.client.errors import ConfigError, RequestError
from headrace.client.exchange import (
    Flow,
    Request,
    Response,
    Result,
    Retrying,
    exchange,
    reader_of,
)
from headrace.client.values import Channel, GroupPresence, Presence, Send, Sent, Stats
from headrace.names import utf8_size
from headrace.tokens import TokenSigner


class _ChannelRequest(msgspec.Struct, omit_defaults=True):
    client_id: str
    duration_minutes: int = limits.TOKEN_DEFAULT_MINUTES
    groups: tuple[str, ...] = ()
    send: tuple[str, ...] = ()


class Api:
    """The routes of one server."""

    def __init__(self, address: Address, secret: str | bytes | None, retry_s: float) -> None:
        """With a `secret`, tokens are minted here; ConfigError where it is too short.

        `retry_s` is how long to go on trying where the server is full or not reachable.
        """
        self._address = address
        self._retrying = Retrying(retry_s, time.monotonic, time.time, random.random)
        self._signer: TokenSigner | None = None
        if secret is not None:
            key = secret.encode() if isinstance(secret, str) else secret
            # How long a client ID may be is the server's to say: only the token bounds it here.
            self._signer = TokenSigner([key], client_id_max_bytes=limits.TOKEN_MAX_BYTES)

    @property
    def url(self) -> str:
        """The server's base URL; ConfigError where none is known."""
        if self._address.url is None:
            raise ConfigError("no URL is set: give url, or HEADRACE_URL, as http://127.0.0.1:8080")
        return self._address.url

    def headers(self, request: Request) -> dict[str, str]:
        """Return a request's headers; ConfigError where no API key is known."""
        if self._address.api_key is None:
            raise ConfigError(
                "no API key is set, and the server asks for its own: give api_key, or"
                " HEADRACE_API_KEY"
            )
        headers = {"authorization": f"Bearer {self._address.api_key}"}
        if request.body is not None:
            headers["content-type"] = request.media_type
        return headers

    def create_channel(
        self, client_id: str, duration_minutes: int, groups: Iterable[str], send: Iterable[str]
    ) -> Flow[Channel]:
        """Mint a token here, where the secret is known, or ask the server for one."""
        if self._signer is None:
            body = _ChannelRequest(client_id, duration_minutes, tuple(groups), tuple(send))
            return (yield from self._call("POST", "/v1/channels", _read_channel, body))
        minted = self._signer.mint(
            plain(client_id),
            now=self._retrying.unix(),
            minutes=duration_minutes,
            groups=[plain(group) for group in groups],
            send=[plain(target) for target in send],
        )
        return Channel(minted.token, plain(client_id), minted.expires_at)

    def send(self, send: Send) -> Flow[Sent]:
        """Send once, however often it takes."""
        return (yield from self._call("POST", "/v1/send", _read_sent, self.keyed(send)))

    def send_batch(self, batch: Batch) -> Flow[list[Sent | RequestError]]:
        """Send what a batch has gathered; the answers are in the same order."""
        if not batch.body:
            return batch.read(Response(200, (), b""))
        request = Request("POST", "/v1/send/batch", batch.body, "application/x-ndjson")
        return (yield from exchange(request, batch.read, self._retrying))

    def presence(self, client_id: str) -> Flow[Presence]:
        """Ask whether a client is there."""
        path = f"/v1/presence/{encoded('client ID', client_id)}"
        return (yield from self._call("GET", path, _read_presence))

    def presence_of_group(self, group: str) -> Flow[GroupPresence]:
        """Ask who of a group is there."""
        target = f"/v1/presence?group={encoded('group name', group)}"
        return (yield from self._call("GET", target, _read_group_presence))

    def join(self, group: str, client_id: str) -> Flow[int]:
        """Put a client into a group."""
        return (yield from self._call("PUT", _member_path(group, client_id), _read_sessions))

    def leave(self, group: str, client_id: str) -> Flow[int]:
        """Take a client out of a group."""
        return (yield from self._call("DELETE", _member_path(group, client_id), _read_sessions))

    def revoke(self, client_id: str) -> Flow[int]:
        """Close a client's sessions and revoke its tokens so far."""
        path = f"/v1/channels/{encoded('client ID', client_id)}"
        return (yield from self._call("DELETE", path, _read_sessions))

    def stats(self) -> Flow[Stats]:
        """Ask for the numbers of the process that answers."""
        return (yield from self._call("GET", "/v1/stats", _read_stats))

    def keyed(self, send: Send) -> Send:
        """Return `send` with an idempotency key, where it could be sent more than once."""
        if send.idempotency_key is not None or not self._retrying.budget_s:
            return send
        return msgspec.structs.replace(send, idempotency_key=str(uuid.uuid4()))

    def _call(
        self,
        method: str,
        target: str,
        read: Callable[[Response], Result],
        body: object = None,
    ) -> Flow[Result]:
        request = Request(method, target, None if body is None else to_json(body))
        return (yield from exchange(request, read, self._retrying))


def encoded(what: str, name: str) -> str:
    """Return a client ID or a group's name as one segment of a path, or one value of a query.

    RequestError (400) for one that is empty or not Unicode: neither has a path.
    """
    if not utf8_size(what, name):
        raise RequestError(400, f"the {what} is empty")
    if name in (".", ".."):  # as they are, these would be ways through the path
        return name.replace(".", "%2E")
    return quote(name, safe="")


def _member_path(group: str, client_id: str) -> str:
    return f"/v1/groups/{encoded('group name', group)}/members/{encoded('client ID', client_id)}"


class _Sessions(msgspec.Struct):
    sessions: int


def _read_sessions(response: Response) -> int:
    return _read_change(response).sessions


_read_channel = reader_of(Channel)
_read_sent = reader_of(Sent)
_read_change = reader_of(_Sessions)
_read_presence = reader_of(Presence)
_read_group_presence = reader_of(GroupPresence)
_read_stats = reader_of(Stats)

"""The asynchronous client."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from types import TracebackType
from typing import Self
from weakref import WeakSet

import httpx2

from headrace import limits
from headrace.client.address import find_address
from headrace.client.batch import Batch, SendResult, targets
from headrace.client.http_messages import HttpRequest, Result
from headrace.client.http_transport import (
    RETRY_S,
    TIMEOUT_S,
    tls_context,
    to_response,
    to_unreachable,
)
from headrace.client.listener import Listener, ListenerEvent
from headrace.client.models import Channel, GroupPresence, Presence, Send, Sent, Stats
from headrace.client.operations import Operations
from headrace.client.retry import Flow, Outcome, Wait

_log = logging.getLogger("headrace")


class AsyncClient:
    """An asynchronous client of one server; it belongs to one event loop.

        async with AsyncClient() as client:
            token = (await client.create_channel("alice")).token
            await client.send("Your order is ready", to="alice")

    It has the methods of `Client`, which raise the same errors, and `listen`.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        secret: str | bytes | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        retry_s: float = RETRY_S,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Use the server at `url`; the defaults are `HEADRACE_URL` and `HEADRACE_API_KEY`.

        With the server's `secret`, `create_channel` mints tokens without a request. `timeout_s`
        limits connecting, and each read and write. If the server is full, restarting or not
        reachable, a request is retried for up to `retry_s` seconds; 0 means no retries. `tls`
        replaces the default TLS context, which trusts the system's certificate authorities.
        """
        address = find_address(url, api_key)
        self._operations = Operations(address, secret, retry_s)
        self._tls = tls
        self._listeners: WeakSet[Listener] = WeakSet()
        self._http = httpx2.AsyncClient(timeout=timeout_s, verify=tls_context(tls, address))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections, also those of listeners; the client cannot be used afterwards."""
        for listener in list(self._listeners):
            await listener.close()
        await self._http.aclose()

    async def create_channel(
        self,
        client_id: str,
        *,
        duration_minutes: int = limits.TOKEN_DEFAULT_MINUTES,
        groups: Iterable[str] = (),
        send: Iterable[str] = (),
    ) -> Channel:
        """Return a channel with a token that lasts 1 to 1440 minutes.

        The client joins `groups`. It may send to the targets in `send`, such as `group:lobby`.
        Messages sent to it from now on are delivered when it connects, except if the token was
        minted with the secret: then its first connection starts with new messages.
        """
        return await self._run(
            self._operations.create_channel(client_id, duration_minutes, groups, send)
        )

    async def send(
        self,
        data: str,
        *,
        to: str | Iterable[str] = (),
        group: str | None = None,
        everyone: bool = False,
        idempotency_key: str | None = None,
    ) -> Sent:
        """Send to exactly one of: `to` (a client ID or several), `group`, or `everyone`.

        It is not an error if no client is connected. Raise TypeError if the data is not a string:
        encode objects as JSON. A second send with the same `idempotency_key` within 5 minutes
        sends nothing and returns the first result; the default is a new key, so that a retry
        cannot send twice.
        """
        send = Send(
            data=data,
            to=targets(to),
            group=group,
            everyone=everyone,
            idempotency_key=idempotency_key,
        )
        return await self._run(self._operations.send(send))

    async def send_batch(
        self, sends: Iterable[Send] | AsyncIterable[Send]
    ) -> AsyncIterator[SendResult]:
        """Send any number of messages, and yield the result of each, in order.

        See `Client.send_batch`.
        """
        batch = Batch()
        async for send in _as_async(sends):
            batch.add(self._operations.with_idempotency_key(send))
            if batch.is_full:
                for result in await self._run(self._operations.send_batch(batch)):
                    yield result
                batch = Batch()
        if batch:
            for result in await self._run(self._operations.send_batch(batch)):
                yield result

    async def presence(self, client_id: str) -> Presence:
        """Return whether a client is online, since when, and its number of sessions."""
        return await self._run(self._operations.presence(client_id))

    async def presence_of_group(self, group: str) -> GroupPresence:
        """Return the clients of a group that are online."""
        return await self._run(self._operations.presence_of_group(group))

    async def join(self, client_id: str, group: str) -> int:
        """Add a client to a group until it is removed, whether it is connected or not.

        Return its number of open sessions.
        """
        return await self._run(self._operations.join(client_id, group))

    async def leave(self, client_id: str, group: str) -> int:
        """Remove a client from a group, even if its token contains the group.

        Delivery to it ends at once. Return its number of open sessions.
        """
        return await self._run(self._operations.leave(client_id, group))

    async def revoke(self, client_id: str) -> int:
        """Close the sessions of a client (4003) and revoke the tokens issued so far.

        Return the number of sessions closed.
        """
        return await self._run(self._operations.revoke(client_id))

    async def stats(self) -> Stats:
        """Return the statistics of the server process that responds."""
        return await self._run(self._operations.stats())

    def listen(
        self,
        client_id: str | None = None,
        *,
        token: str | Callable[[], Awaitable[str]] | None = None,
        groups: Iterable[str] = (),
        on_event: Callable[[ListenerEvent], object] | None = None,
    ) -> Listener:
        """Return an iterator over the messages to a client, which reconnects when necessary.

        Give either `client_id` or `token`. With `client_id`, a channel in `groups` is created, and
        another one each time its token expires. `token` is a token or a function that fetches one.
        `on_event` is called for lost connections and lost messages, which otherwise are logged.
        `Listener` says which errors the iteration raises.
        """
        if (client_id is None) == (token is None):
            raise TypeError("listen() takes either a client ID or a token")
        groups = tuple(groups)

        async def fetch_token() -> str:
            if client_id is not None:
                return (await self.create_channel(client_id, groups=groups)).token
            assert token is not None
            return token if isinstance(token, str) else await token()

        listener = Listener(
            self._operations.url, fetch_token, on_event=on_event or _log_event, tls=self._tls
        )
        self._listeners.add(listener)
        return listener

    async def _run(self, flow: Flow[Result]) -> Result:
        """Carry out the steps of an operation."""
        outcome: Outcome = None
        while True:
            try:
                step = flow.send(outcome)
            except StopIteration as finished:
                result: Result = finished.value
                return result
            if isinstance(step, Wait):
                await asyncio.sleep(step.seconds)
                outcome = None
            else:
                outcome = await self._request(step)

    async def _request(self, request: HttpRequest) -> Outcome:
        url = self._operations.url + request.target
        headers = self._operations.headers(request)
        try:
            response = await self._http.request(
                request.method, url, content=request.body, headers=headers
            )
        except httpx2.HTTPError as error:
            return to_unreachable(self._operations.url, error)
        return to_response(response)


async def _as_async(sends: Iterable[Send] | AsyncIterable[Send]) -> AsyncIterator[Send]:
    if isinstance(sends, AsyncIterable):
        async for send in sends:
            yield send
    else:
        for send in sends:
            yield send


def _log_event(event: ListenerEvent) -> None:
    _log.info("%s", event.text)

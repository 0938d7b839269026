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
from headrace.client.api import Api
from headrace.client.batch import Batch, targets
from headrace.client.errors import RequestError
from headrace.client.exchange import Flow, Outcome, Request, Result, Wait
from headrace.client.listener import Incident, Listener
from headrace.client.transport import (
    RETRY_S,
    TIMEOUT_S,
    response_of,
    tls_context,
    unreachable,
)
from headrace.client.values import Channel, GroupPresence, Presence, Send, Sent, Stats

_log = logging.getLogger("headrace")


class AsyncClient:
    """Talks to a server from an event loop; it belongs to one.

        async with AsyncClient() as client:
            token = (await client.create_channel("alice")).token
            await client.send("Your order is ready", to="alice")

    The methods are those of `Client`, with its errors, and `listen`.
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
        """Without `url` or `api_key`, `HEADRACE_URL` and `HEADRACE_API_KEY` count.

        With a `secret`, which is the server's, `create_channel` mints tokens without asking.
        `timeout_s` bounds each try: its connecting, and each pause in sending and receiving.
        `retry_s` is how long to go on trying where the server is full, restarting or not
        reachable; 0 tries once. `tls` says whom to trust where that is not the system's choice.
        """
        address = find_address(url, api_key)
        self._api = Api(address, secret, retry_s)
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
        """Close the connections, those of listeners too; the client cannot be used any more."""
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
        """Return a channel, whose token lasts for 1 to 1440 minutes.

        The client joins `groups`, and may by itself send to what `send` allows, as `group:lobby`.
        What is sent to the client from now on reaches it when it connects, unless the token was
        minted here with the secret: then its first connection starts at what is new.
        """
        return await self._run(self._api.create_channel(client_id, duration_minutes, groups, send))

    async def send(
        self,
        data: str,
        *,
        to: str | Iterable[str] = (),
        group: str | None = None,
        everyone: bool = False,
        idempotency_key: str | None = None,
    ) -> Sent:
        """Send to a client, to several, to a group, or to everyone: exactly one of these.

        Nobody connected is no error. A second send with the same `idempotency_key` within 5
        minutes sends nothing and gets the first one's answer; without one, one is made up, so that
        a retry cannot send twice.
        """
        send = Send(
            data=data,
            to=targets(to),
            group=group,
            everyone=everyone,
            idempotency_key=idempotency_key,
        )
        return await self._run(self._api.send(send))

    async def send_batch(
        self, sends: Iterable[Send] | AsyncIterable[Send]
    ) -> AsyncIterator[Sent | RequestError]:
        """Send any number, and yield each one's answer in order; a bad one fails alone.

        See `Client.send_batch`.
        """
        batch = Batch()
        async for send in _each(sends):
            batch.add(self._api.keyed(send))
            if batch.is_full:
                for answer in await self._run(self._api.send_batch(batch)):
                    yield answer
                batch = Batch()
        if batch:
            for answer in await self._run(self._api.send_batch(batch)):
                yield answer

    async def presence(self, client_id: str) -> Presence:
        """Return whether a client is there, since when, and with how many sessions."""
        return await self._run(self._api.presence(client_id))

    async def presence_of_group(self, group: str) -> GroupPresence:
        """Return who of a group is there."""
        return await self._run(self._api.presence_of_group(group))

    async def join(self, group: str, client_id: str) -> int:
        """Put a client, connected or not, into a group until it is taken out.

        Returns how many open sessions the client has.
        """
        return await self._run(self._api.join(group, client_id))

    async def leave(self, group: str, client_id: str) -> int:
        """Take a client out of a group, whatever its tokens claim; delivery ends at once.

        Returns how many open sessions the client has.
        """
        return await self._run(self._api.leave(group, client_id))

    async def revoke(self, client_id: str) -> int:
        """Close a client's sessions (4003) and revoke all its tokens so far.

        Returns how many sessions that were.
        """
        return await self._run(self._api.revoke(client_id))

    async def stats(self) -> Stats:
        """Return the numbers of the process that answers."""
        return await self._run(self._api.stats())

    def listen(
        self,
        client_id: str | None = None,
        *,
        token: str | Callable[[], Awaitable[str]] | None = None,
        groups: Iterable[str] = (),
        on_incident: Callable[[Incident], object] | None = None,
    ) -> Listener:
        """Return an iterator over the messages to a client, across lost connections.

        Give `client_id`, for which a channel in `groups` is made, and again when its token has
        timed out; or a `token`, or a function that fetches one. See `Listener` for what the
        iteration raises. `on_incident` is told of lost connections and messages, otherwise the
        log is.
        """
        if (client_id is None) == (token is None):
            raise TypeError("listen() takes either a client ID or a token")
        in_groups = tuple(groups)

        async def fetch_token() -> str:
            if client_id is not None:
                return (await self.create_channel(client_id, groups=in_groups)).token
            assert token is not None
            return token if isinstance(token, str) else await token()

        listener = Listener(
            self._api.url, fetch_token, on_incident=on_incident or _log_incident, tls=self._tls
        )
        self._listeners.add(listener)
        return listener

    async def _run(self, flow: Flow[Result]) -> Result:
        """Do what a flow's steps say."""
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
                outcome = await self._ask(step)

    async def _ask(self, request: Request) -> Outcome:
        url, headers = self._api.url + request.target, self._api.headers(request)
        try:
            answer = await self._http.request(
                request.method, url, content=request.body, headers=headers
            )
        except httpx2.HTTPError as error:
            return unreachable(self._api.url, error)
        return response_of(answer)


async def _each(sends: Iterable[Send] | AsyncIterable[Send]) -> AsyncIterator[Send]:
    if isinstance(sends, AsyncIterable):
        async for send in sends:
            yield send
    else:
        for send in sends:
            yield send


def _log_incident(incident: Incident) -> None:
    _log.info("%s", incident.text)

"""The blocking client."""

import ssl
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

import httpx2

from headrace import limits
from headrace.client.address import find_address
from headrace.client.api import Api
from headrace.client.batch import Batch, targets
from headrace.client.errors import RequestError
from headrace.client.exchange import Flow, Outcome, Request, Result, Wait
from headrace.client.transport import (
    RETRY_S,
    TIMEOUT_S,
    response_of,
    tls_context,
    unreachable,
)
from headrace.client.values import Channel, GroupPresence, Presence, Send, Sent, Stats


class Client:
    """Talks to a server from a thread; several threads may share one.

        with Client() as client:
            token = client.create_channel("alice").token
            client.send("Your order is ready", to="alice")

    Every method that asks the server raises RequestError where it refuses, UnreachableError where
    there is no answer, and ConfigError where the URL or the API key is missing.
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
        self._http = httpx2.Client(timeout=timeout_s, verify=tls_context(tls, address))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the client cannot be used any more."""
        self._http.close()

    def create_channel(
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
        return self._run(self._api.create_channel(client_id, duration_minutes, groups, send))

    def send(
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
        return self._run(self._api.send(send))

    def send_batch(self, sends: Iterable[Send]) -> Iterator[Sent | RequestError]:
        """Send any number, and yield each one's answer in order; a bad one fails alone.

        Sends are taken, and answers given, some hundreds at a time: memory stays bounded. A
        RequestError is raised, and not yielded, where the server refuses them all.
        """
        batch = Batch()
        for send in sends:
            batch.add(self._api.keyed(send))
            if batch.is_full:
                yield from self._run(self._api.send_batch(batch))
                batch = Batch()
        if batch:
            yield from self._run(self._api.send_batch(batch))

    def presence(self, client_id: str) -> Presence:
        """Return whether a client is there, since when, and with how many sessions."""
        return self._run(self._api.presence(client_id))

    def presence_of_group(self, group: str) -> GroupPresence:
        """Return who of a group is there."""
        return self._run(self._api.presence_of_group(group))

    def join(self, group: str, client_id: str) -> int:
        """Put a client, connected or not, into a group until it is taken out.

        Returns how many open sessions the client has.
        """
        return self._run(self._api.join(group, client_id))

    def leave(self, group: str, client_id: str) -> int:
        """Take a client out of a group, whatever its tokens claim; delivery ends at once.

        Returns how many open sessions the client has.
        """
        return self._run(self._api.leave(group, client_id))

    def revoke(self, client_id: str) -> int:
        """Close a client's sessions (4003) and revoke all its tokens so far.

        Returns how many sessions that were.
        """
        return self._run(self._api.revoke(client_id))

    def stats(self) -> Stats:
        """Return the numbers of the process that answers."""
        return self._run(self._api.stats())

    def _run(self, flow: Flow[Result]) -> Result:
        """Do what a flow's steps say."""
        outcome: Outcome = None
        while True:
            try:
                step = flow.send(outcome)
            except StopIteration as finished:
                result: Result = finished.value
                return result
            if isinstance(step, Wait):
                time.sleep(step.seconds)
                outcome = None
            else:
                outcome = self._ask(step)

    def _ask(self, request: Request) -> Outcome:
        url, headers = self._api.url + request.target, self._api.headers(request)
        try:
            answer = self._http.request(request.method, url, content=request.body, headers=headers)
        except httpx2.HTTPError as error:
            return unreachable(self._api.url, error)
        return response_of(answer)

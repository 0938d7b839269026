"""The blocking client."""

import ssl
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

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
from headrace.client.models import Channel, GroupPresence, Presence, Send, Sent, Stats
from headrace.client.operations import Operations
from headrace.client.retry import Flow, Outcome, Wait


class Client:
    """A blocking client of one server; several threads may share it.

        with Client() as client:
            token = client.create_channel("alice").token
            client.send("Your order is ready", to="alice")

    Every method that makes a request raises RequestError for an error response, UnreachableError
    if there is no response, InputError for an argument that cannot be sent, and ConfigError if the
    URL or the API key is missing.
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
        """Close the connections; the client cannot be used afterwards."""
        self._http.close()

    def create_channel(
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
        return self._run(self._operations.create_channel(client_id, duration_minutes, groups, send))

    def send(
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
        return self._run(self._operations.send(send))

    def send_batch(self, sends: Iterable[Send]) -> Iterator[SendResult]:
        """Send any number of messages, and yield the result of each, in order.

        A send that fails yields its error, and the others are not affected. RequestError is raised
        if the server refuses all of them. Sends are consumed, and results are yielded, in parts of
        some hundreds, so memory use is limited.
        """
        batch = Batch()
        for send in sends:
            batch.add(self._operations.with_idempotency_key(send))
            if batch.is_full:
                yield from self._run(self._operations.send_batch(batch))
                batch = Batch()
        if batch:
            yield from self._run(self._operations.send_batch(batch))

    def presence(self, client_id: str) -> Presence:
        """Return whether a client is online, since when, and its number of sessions."""
        return self._run(self._operations.presence(client_id))

    def presence_of_group(self, group: str) -> GroupPresence:
        """Return the clients of a group that are online."""
        return self._run(self._operations.presence_of_group(group))

    def join(self, client_id: str, group: str) -> int:
        """Add a client to a group until it is removed, whether it is connected or not.

        Return its number of open sessions.
        """
        return self._run(self._operations.join(client_id, group))

    def leave(self, client_id: str, group: str) -> int:
        """Remove a client from a group, even if its token contains the group.

        Delivery to it ends at once. Return its number of open sessions.
        """
        return self._run(self._operations.leave(client_id, group))

    def revoke(self, client_id: str) -> int:
        """Close the sessions of a client (4003) and revoke the tokens issued so far.

        Return the number of sessions closed.
        """
        return self._run(self._operations.revoke(client_id))

    def stats(self) -> Stats:
        """Return the statistics of the server process that responds."""
        return self._run(self._operations.stats())

    def _run(self, flow: Flow[Result]) -> Result:
        """Carry out the steps of an operation."""
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
                outcome = self._request(step)

    def _request(self, request: HttpRequest) -> Outcome:
        url = self._operations.url + request.target
        headers = self._operations.headers(request)
        try:
            response = self._http.request(
                request.method, url, content=request.body, headers=headers
            )
        except httpx2.HTTPError as error:
            return to_unreachable(self._operations.url, error)
        return to_response(response)

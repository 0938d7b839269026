"""The public `Hub`: what an embedding application and the HTTP routes call.

    send ──▶ validate ──▶ backplane.append ──▶ core.apply

It owns the sans-I/O core, the backplane, the clocks and the timer, and adds what the core does not
know: tokens, validation, rate limits and the event loop. Its life cycle is in `hub/lifecycle.py`:
constructing it needs no event loop, `async with` starts and closes it, and operations outside
raise StateError.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import ClassVar, Final, Self

from headrace import codes, limits
from headrace.api.client_messages import ClientMessages
from headrace.api.session_drain import drain_sessions
from headrace.auth.revocation import KEPT_S
from headrace.auth.tokens import Claims, TokenSigner
from headrace.backplane.base import Backplane, RecordChange, ReservePositions
from headrace.backplane.local import LocalBackplane
from headrace.errors import ConfigError, UnavailableError
from headrace.hub.application import Application
from headrace.hub.core import Clocks, HubCore
from headrace.hub.lifecycle import LifeCycle, LifeState, LifeStep
from headrace.hub.presence import PresenceChange
from headrace.hub.snapshot import Snapshot, restore_snapshot, take_snapshot
from headrace.messages.entries import Change, Entry, Join, KeyedReceipt, Leave, Receipt, Revoke
from headrace.messages.position import Position, parse_position
from headrace.messages.validation import (
    check_client_id,
    check_entry,
    check_group,
    check_text,
)
from headrace.messages.wire import ChannelResponse, ClientPresence, GroupPresence
from headrace.settings import Settings

SYSTEM_CLOCKS: Final = Clocks(time.monotonic, time.time)

EXPIRE_INTERVAL_S: Final = 0.25
"""How often the hub expires old state and announces departures."""


class Hub:
    """Channels, messages, groups and presence of one set of clients.

        hub = Hub(Settings(secrets=(secret,), api_key=key), Callbacks(connected=hello))
        async with hub, Server(hub, port=8080):
            token = hub.create_channel("ada", groups=["lobby"]).token
            await hub.send("hello", to="ada")

    Use it from the thread of the event loop that started it. `application` gets presence changes
    and update-messages: a `Callbacks`, a `Webhooks`, or an `Application` of your own. `clocks` is
    for tests.
    """

    running: ClassVar[list["Hub"]] = []
    """The hubs of this process that are running; see `hub_registry.py`."""

    def __init__(
        self,
        settings: Settings,
        application: Application | None = None,
        *,
        clocks: Clocks = SYSTEM_CLOCKS,
    ) -> None:
        """Raise ConfigError if the secrets cannot be used, or nothing would post to `app_url`."""
        if settings.app_url is not None and application is None:
            raise ConfigError(
                "app_url is set, but this hub has no application to post to it: pass"
                " Webhooks(settings.app_url, settings.secrets) or Callbacks(...) to Hub"
            )
        self.settings = settings
        self.clocks = clocks
        self.application = application
        self.core = HubCore(settings, clocks, self._call_soon, self._presence_changed)
        self.life = LifeCycle("hub")
        self.use_secrets(settings.secrets)
        self._backplane: Backplane = LocalBackplane(self.core)
        self._client_messages = ClientMessages(settings, clocks, application, self.send)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.started_at = clocks.monotonic()
        self._close_callbacks: list[Callable[[], Awaitable[None]]] = []

    # --- life cycle ----------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Start on the running event loop. Raises StateError unless the hub is new."""
        self.life.move(LifeStep.START)
        self._loop = asyncio.get_running_loop()
        self.started_at = self.clocks.monotonic()
        self.life.move(LifeStep.STARTED)
        Hub.running.append(self)
        self._expire()

    async def drain(self) -> None:
        """Refuse new sessions, and close the existing ones with 1012, spread over `drain_s`.

        With a `state_dir` no departures are announced from now on: the clients are expected to
        reconnect to the next process.
        """
        if self.life.move(LifeStep.DRAIN) is LifeState.DRAINING:
            if self.settings.state_dir is not None:
                self.core.presence.hold()
            await drain_sessions(self.core)

    async def close(self) -> None:
        """Drain, announce departures, and let the application finish. A second call does nothing.

        With a `state_dir` no departures are announced: the clients reconnect to the next process.
        """
        await self.drain()
        was_running = self.life.is_running
        self.life.move(LifeStep.CLOSE)
        if not was_running:
            return
        Hub.running.remove(self)
        if self._timer is not None:
            self._timer.cancel()
        if self.settings.state_dir is None:
            self.core.presence.disconnect_all()
        try:
            if self.application is not None:
                await self.application.aclose()
            await self._backplane.close()
        finally:
            for callback in self._close_callbacks:
                await callback()

    async def call_when_closed(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Have `callback` called at the end of `close`, when the application has finished.

        If the hub is closed already it is called now.
        """
        if self.life.state is LifeState.CLOSED:
            await callback()
        else:
            self._close_callbacks.append(callback)

    def check_accepting(self) -> None:
        """Raise UnavailableError if the hub takes no new sessions because it is stopping."""
        if self.life.state is not LifeState.SERVING:
            raise UnavailableError("the server is shutting down; connect again")

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that the hub runs on. Raises StateError before `start`."""
        if self._loop is None:
            self.life.check_running()
        assert self._loop is not None
        return self._loop

    def snapshot(self) -> Snapshot:
        """Return the state that the next process needs after a planned restart."""
        return take_snapshot(self.core, self._backplane.receipts())

    def restore(
        self,
        snapshot: Snapshot | None,
        changes: Iterable[tuple[Change, Position]],
        *,
        reserve: ReservePositions,
        record: RecordChange,
        return_s: float,
    ) -> None:
        """Continue from an earlier process's state, before the first session and send.

        `changes` were recorded by that process. Clients that were online have `return_s` seconds
        and the presence grace to come back. See `Backplane.restore` for `reserve` and `record`.
        """
        receipts = []
        if snapshot is not None:
            restore_snapshot(self.core, snapshot, return_s=return_s)
            receipts = [
                KeyedReceipt(
                    sent.key,
                    sent.left_s,
                    Receipt(parse_position(sent.id), sent.sessions),
                    sent.digest,
                )
                for sent in snapshot.sends
            ]
        unix = self.clocks.unix()
        for change, position in changes:
            if not isinstance(change, Revoke) or change.at + KEPT_S > unix:
                self.core.restore_change(change, position)
        self._backplane.restore(receipts, reserve, record)

    def reserve_again(self) -> None:
        """See `Backplane.reserve_again`."""
        self._backplane.reserve_again()

    # --- channels and tokens -------------------------------------------------------------------

    def use_secrets(self, secrets: Iterable[str]) -> None:
        """Sign with the first of these secrets from now on, and accept tokens of all of them.

        Sessions whose tokens were signed with another secret are closed with 4003.
        """
        self.signer = TokenSigner(
            [secret.encode() for secret in secrets],
            client_id_max_bytes=self.settings.client_id_max_bytes,
        )
        for session in list(self.core.sessions):
            if session.claims.key_id and session.claims.key_id not in self.signer.key_ids:
                self.core.close(session, codes.REVOKED_TOKEN)

    def create_channel(
        self,
        client_id: str,
        *,
        duration_minutes: int = limits.TOKEN_DEFAULT_MINUTES,
        groups: Iterable[str] = (),
        send: Iterable[str] = (),
    ) -> ChannelResponse:
        """Return a token for a client, valid for 1 to 1440 minutes.

        The client joins `groups`, and may itself send to the targets that `send` allows, such as
        `group:lobby`. Everything sent to the client from now on reaches it when it first connects.
        Raises InputError for a value that cannot be in a token.
        """
        self.life.check_running()
        minted = self.signer.mint(
            client_id,
            now=self.core.subscriptions.memberships.earliest_issue_time(
                client_id, self.clocks.unix()
            ),
            minutes=duration_minutes,
            groups=tuple(groups),
            send=tuple(send),
            pos=str(self.core.history.latest),
        )
        return ChannelResponse(minted.token, client_id, minted.expires_at)

    def verify(self, token: str) -> Claims:
        """Return the claims of a client's token; raise TokenError if it is not valid now."""
        claims = self.signer.verify(token, now=self.clocks.unix())
        self.core.revocations.check(claims)
        return claims

    async def disconnect(self, client_id: str) -> int:
        """Close a client's sessions (4003) and revoke the tokens issued to it so far.

        A token from `create_channel` is valid again at once. See `auth/revocation.py` for tokens
        that the application signs itself. Returns the number of sessions that were closed.
        """
        self.life.check_running()
        check_client_id(client_id, self.settings.client_id_max_bytes)
        sessions = len(self.core.sessions_of(client_id))
        await self._backplane.append(Revoke(client_id, self.clocks.unix()))
        return sessions

    # --- messages ------------------------------------------------------------------------------

    async def send(
        self,
        data: str,
        *,
        to: str | Iterable[str] = (),
        group: str | None = None,
        everyone: bool = False,
        idempotency_key: str | None = None,
    ) -> Receipt:
        """Send to a client, to several, to a group, or to everyone: exactly one of these.

        Returns the message's id and the number of open sessions that it was queued for. A message
        to a client that is not connected waits in the history. A send whose `idempotency_key` was
        used within the last five minutes returns the first receipt and sends nothing.

        Raises TypeError if `data` is not a string, InputError for a target or key that cannot be
        used, TooLargeError for data over `message_max_bytes`, ConflictError if the key was used for
        another message, UnavailableError if no more keys can be remembered.
        """
        if self.life.state is not LifeState.SERVING:
            self.life.check_running()
        if not isinstance(data, str):
            raise TypeError(
                f"data is of type {type(data).__name__}; it must be a string: JSON-encode any other"
                " value"
            )
        targets = (to,) if isinstance(to, str) else tuple(to)
        entry = Entry(data=data, to=targets, group=group, everyone=everyone)
        check_entry(
            entry,
            message_max_bytes=self.settings.message_max_bytes,
            client_id_max_bytes=self.settings.client_id_max_bytes,
        )
        if idempotency_key is not None:
            check_text("idempotency_key", idempotency_key, limits.IDEMPOTENCY_KEY_MAX_BYTES)
        return await self._backplane.append(entry, idempotency_key)

    async def send_from_client(
        self, claims: Claims, data: str, *, to: str | Iterable[str] = (), group: str | None = None
    ) -> Receipt | None:
        """Relay a client's update-message, or give it to the application.

        `claims` are those of the token that the client presented. Returns the receipt of a relayed
        message, None for one that the application accepted. See `ClientMessages.handle` for the
        errors.
        """
        self.life.check_running()
        return await self._client_messages.handle(claims, data, to=to, group=group)

    # --- groups and presence -------------------------------------------------------------------

    async def join(self, client_id: str, group: str) -> int:
        """Add a client, connected or not, to a group until it leaves.

        Returns the client's number of open sessions. Raises InputError for more than 1,000 groups.
        """
        return await self._change_membership(Join(client_id, group, self.clocks.unix()))

    async def leave(self, client_id: str, group: str) -> int:
        """Remove a client from a group at once, even if its token claims the group.

        Returns the client's number of open sessions.
        """
        # Rounded up to the milliseconds of a token's `iat`, so that older tokens stay older.
        at = math.ceil(self.clocks.unix() * 1000) / 1000
        return await self._change_membership(Leave(client_id, group, at))

    async def presence(self, client_id: str) -> ClientPresence:
        """Return whether a client is online, since when, and with how many sessions."""
        self.life.check_running()
        check_client_id(client_id, self.settings.client_id_max_bytes)
        return self._presence_of(client_id)

    async def presence_of_group(self, group: str) -> GroupPresence:
        """Return the clients of a group that have a session."""
        self.life.check_running()
        check_group(group)
        members = self.core.subscriptions.groups.members(group)
        return GroupPresence(group, len(members), tuple(map(self._presence_of, members)))

    # --- internals -----------------------------------------------------------------------------

    async def _change_membership(self, entry: Join | Leave) -> int:
        self.life.check_running()
        check_client_id(entry.client_id, self.settings.client_id_max_bytes)
        check_group(entry.group)
        if isinstance(entry, Join):
            self.core.subscriptions.memberships.check_join(entry.client_id, entry.group)
        await self._backplane.append(entry)
        return len(self.core.sessions_of(entry.client_id))

    def _presence_of(self, client_id: str) -> ClientPresence:
        since = self.core.presence.since(client_id)
        sessions = len(self.core.sessions_of(client_id))
        return ClientPresence(client_id, since is not None, since, sessions)

    def _presence_changed(self, change: PresenceChange) -> None:
        if self.application is not None:
            self.application.presence_changed(change)

    def _call_soon(self, callback: Callable[[], None]) -> None:
        assert self._loop is not None  # nothing is scheduled before the start
        self._loop.call_soon(callback)

    def _expire(self) -> None:
        # Re-armed first, so that an exception below does not stop the timer.
        self._timer = self.loop.call_later(EXPIRE_INTERVAL_S, self._expire)
        self.core.expire()
        self._client_messages.expire()

"""The application's ears: what Headrace tells it, by HTTP (`webhooks.py`) or by a call.

Whoever embeds the hub gives it an `Application`; a server on its own has one that posts to
`app_url`, or none.
"""

from typing import Protocol

import msgspec

from headrace.presence import Change


class UpdateMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a client has sent to the application, and to whom it wants it to go, if it said."""

    sender: str = msgspec.field(name="from")
    data: str
    to: tuple[str, ...] = ()
    group: str | None = None


class Application(Protocol):
    """What an application is told."""

    def presence_changed(self, change: Change) -> None:
        """Take note that a client has come or gone; never waits, and never raises."""

    async def receive(self, message: UpdateMessage) -> None:
        """Take an update-message; RequestError (503) where it cannot be taken now."""

    async def aclose(self) -> None:
        """Hand on what still waits, for a bounded time: the server ends."""

"""Callbacks into the application: presence changes and update-messages.

A hub has one `Application` or none. `hooks/callbacks.py` calls functions in the same process,
`hooks/webhooks.py` posts to the URL in `app_url`.
"""

from typing import Protocol, runtime_checkable

import msgspec

from headrace.hub.presence import PresenceChange


class UpdateMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message from a client to the application, with the target the client asked for, if any."""

    sender: str = msgspec.field(name="from")
    data: str
    to: tuple[str, ...] = ()
    group: str | None = None


class Application(Protocol):
    """Receives a hub's presence changes and update-messages."""

    def presence_changed(self, change: PresenceChange) -> None:
        """Handle a client's connect or disconnect; must neither wait nor raise."""

    async def receive(self, message: UpdateMessage) -> None:
        """Handle an update-message.

        Raise ForbiddenError if the application takes none, UnavailableError if it cannot handle
        this one now.
        """

    async def aclose(self) -> None:
        """Deliver what is still queued, for a bounded time, and release all resources."""


class DeliveryStats(msgspec.Struct, frozen=True):
    """The presence notices of an application that delivers them later, since the start."""

    pending: int
    delivered: int
    dropped: dict[str, int]
    """By reason; a reason that has not occurred is included with 0."""


@runtime_checkable
class SupportsDeliveryStats(Protocol):
    """An `Application` may have this method; the metrics then show the numbers."""

    def delivery_stats(self) -> DeliveryStats:
        """Return the current numbers."""

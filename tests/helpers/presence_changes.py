"""Presence changes for an `Application` under test, and the error that it raises if it is down."""

import pytest

from headrace.errors import UnavailableError
from headrace.hub.application import Application, UpdateMessage
from headrace.hub.presence import PresenceChange


def connected(application: Application, *client_ids: str) -> None:
    for client_id in client_ids:
        application.presence_changed(PresenceChange(client_id, connected=True))


def disconnected(application: Application, *client_ids: str) -> None:
    for client_id in client_ids:
        application.presence_changed(PresenceChange(client_id, connected=False))


async def expect_unavailable(application: Application, sender: str = "alice") -> UnavailableError:
    """Send an update-message that cannot be delivered, and return the error."""
    with pytest.raises(UnavailableError) as caught:
        await application.receive(UpdateMessage(sender, "the data"))
    assert caught.value.retry_after_s > 0
    assert "the data" not in str(caught.value)
    return caught.value

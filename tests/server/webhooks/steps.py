"""What the tests have Headrace tell, and how it says that it cannot."""

import pytest

from headrace import limits
from headrace.application import UpdateMessage
from headrace.errors import RequestError
from headrace.presence import Change
from headrace.webhooks import Webhooks


def come(webhooks: Webhooks, *client_ids: str) -> None:
    for client_id in client_ids:
        webhooks.presence_changed(Change(client_id, connected=True))


def go(webhooks: Webhooks, *client_ids: str) -> None:
    for client_id in client_ids:
        webhooks.presence_changed(Change(client_id, connected=False))


async def refusal(webhooks: Webhooks, sender: str = "alice") -> RequestError:
    with pytest.raises(RequestError) as caught:
        await webhooks.receive(UpdateMessage(sender, "the data"))
    assert caught.value.status == 503
    assert dict(caught.value.headers)["retry-after"] == str(limits.RETRY_AFTER_S)
    assert "the data" not in caught.value.detail
    return caught.value

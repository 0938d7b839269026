"""hub/application.py: the JSON of an update-message."""

import msgspec
import pytest

from headrace.hub.application import UpdateMessage


@pytest.mark.parametrize(
    ("message", "json"),
    [
        (UpdateMessage("alice", "hi"), b'{"from":"alice","data":"hi"}'),
        (
            UpdateMessage("alice", "hi", to=("bob", "carol")),
            b'{"from":"alice","data":"hi","to":["bob","carol"]}',
        ),
        (
            UpdateMessage("alice", "", group="lobby"),
            b'{"from":"alice","data":"","group":"lobby"}',
        ),
    ],
)
def test_an_update_message_has_the_fields_of_the_contract(
    message: UpdateMessage, json: bytes
) -> None:
    assert msgspec.json.encode(message) == json
    assert msgspec.json.decode(json, type=UpdateMessage) == message

"""headrace.api.demo: who may join the room, and from where on a newcomer sees it."""

import msgspec
import pytest
from tests.unit.fakes import HubBench, MemorySink, run_now

from headrace.api.answers import Answer
from headrace.api.channels import ChannelAnswer
from headrace.api.demo import ROOM, JoinRequest, join
from headrace.api.node import Node
from headrace.api.routing import Call
from headrace.entries import Entry
from headrace.errors import RequestError
from headrace.protocol.request import Request
from headrace.tokens import Claims


class Room(HubBench):
    """A hub with the demo in front of it."""

    def __init__(self) -> None:
        super().__init__(secrets=("s" * 32,), history_max_age_s=120)
        self.node = Node(self.hub.settings, self.hub, demo=True)

    def say(self, data: str) -> None:
        self.publish(Entry(data=data, group=ROOM))

    def join(self, name: str, token: str | None = None) -> tuple[str, Claims]:
        headers = (("authorization", f"Bearer {token}"),) if token else ()
        request = Request("POST", "/demo/join", "/demo/join", "", headers, "1.1")
        answer = run_now(join(Call(self.node, request, {}, JoinRequest(name))))
        assert isinstance(answer, Answer)
        minted = msgspec.json.decode(answer.body, type=ChannelAnswer)
        return minted.token, self.node.verify(minted.token)

    def enter(self, claims: Claims) -> MemorySink:
        sink = MemorySink()
        self.hub.attach(claims, sink)
        self.tick()
        return sink


def test_a_newcomer_is_given_what_is_kept_of_the_room() -> None:
    room = Room()
    room.say("too old")
    room.send("somebody", data="too old as well")
    room.clock.advance(100)
    room.say("kept")
    room.clock.advance(21)
    room.hub.expire()
    room.publish(Entry(data="to all", everyone=True))
    sink = room.enter(room.join("Ann")[1])
    assert sink.opened["recovered"] is None
    assert sink.data == ["kept", "to all"]


def test_a_page_that_renews_its_token_keeps_its_name_and_is_given_nothing_again() -> None:
    room = Room()
    token, first = room.join("Ann")
    room.say("seen")
    _, renewed = room.join("Somebody else", token)
    assert renewed.sub == first.sub
    assert renewed.pos is None
    assert room.enter(renewed).data == []


@pytest.mark.parametrize("name", ["", " ", "x" * 41])
def test_a_name_that_cannot_be_shown_is_refused(name: str) -> None:
    with pytest.raises(RequestError, match="1 to 40 characters"):
        Room().join(name)

"""api/hub.py: channels, sends, groups and presence of a running hub."""

from typing import Any

import jwt
import pytest
from tests.helpers.fakes import ManualClock, MemorySink
from tests.helpers.fakes_asyncio import SECRET, FakeApplication, new_hub

from headrace import codes
from headrace.api.hub import Hub
from headrace.errors import (
    ConfigError,
    ForbiddenError,
    InputError,
    InvalidTokenError,
    RevokedTokenError,
    TooLargeError,
)
from headrace.hub import membership_overrides
from headrace.hub.application import UpdateMessage
from headrace.messages.wire import ClientPresence, GroupPresence

NEWER_SECRET = "another secret, of 32 bytes or so"


def connect(hub: Hub, client_id: str, *groups: str) -> MemorySink:
    """Open a session with a token that the hub made."""
    token = hub.create_channel(client_id, groups=groups).token
    sink = MemorySink()
    hub.core.attach(hub.verify(token), sink)
    return sink


def test_app_url_needs_an_application() -> None:
    url = "https://app.example"
    with pytest.raises(ConfigError, match=r"no application to post to it: pass\s+Webhooks"):
        new_hub(app_url=url)
    assert new_hub(FakeApplication(), app_url=url).settings.app_url == url


# --- channels and tokens ---------------------------------------------------------------------


async def test_a_channel_s_token_has_the_claims_that_were_asked_for() -> None:
    clock = ManualClock()
    async with new_hub(clocks=clock.clocks) as hub:
        sent = await hub.send("earlier", to="ada")
        channel = hub.create_channel(
            "ada", duration_minutes=7, groups=["lobby"], send=("group:lobby", "client:*")
        )
        claims = hub.verify(channel.token)
    assert channel.client_id == claims.sub == "ada"
    assert channel.expires_at == claims.exp == clock.unix_s + 7 * 60
    assert claims.groups == ("lobby",)
    assert claims.send == ("group:lobby", "client:*")
    assert claims.pos == str(sent.id)


async def test_a_channel_lasts_two_hours_by_default() -> None:
    clock = ManualClock()
    async with new_hub(clocks=clock.clocks) as hub:
        assert hub.create_channel("ada").expires_at == clock.unix_s + 7200


@pytest.mark.parametrize(
    ("client_id", "options"),
    [
        ("", {}),
        ("a" * 257, {}),
        ("ada", {"duration_minutes": 0}),
        ("ada", {"duration_minutes": 1441}),
        ("ada", {"groups": [""]}),
        ("ada", {"groups": ["g"] * 129}),
        ("ada", {"send": ["everybody"]}),
    ],
)
async def test_a_channel_that_cannot_be_in_a_token(client_id: str, options: dict[str, Any]) -> None:
    async with new_hub() as hub:
        with pytest.raises(InputError):
            hub.create_channel(client_id, **options)


async def test_the_first_connection_gets_what_was_sent_since_the_channel_was_created() -> None:
    async with new_hub() as hub:
        await hub.send("before", to="ada")
        token = hub.create_channel("ada").token
        await hub.send("after", to="ada")
        sink = MemorySink()
        hub.core.attach(hub.verify(token), sink)
        hub.core.flush()
        assert sink.data == ["after"]


async def test_the_first_secret_signs_and_all_secrets_verify() -> None:
    async with new_hub() as hub:
        earlier = hub.create_channel("ada").token
        hub.use_secrets([NEWER_SECRET, SECRET])
        newer = hub.create_channel("ada").token
        assert jwt.decode(newer, NEWER_SECRET, algorithms=["HS256"])["sub"] == "ada"
        assert hub.verify(earlier).sub == hub.verify(newer).sub == "ada"
        hub.use_secrets([NEWER_SECRET])
        with pytest.raises(InvalidTokenError):
            hub.verify(earlier)


def test_secrets_that_cannot_be_used_are_refused() -> None:
    hub = new_hub()
    with pytest.raises(ConfigError):
        hub.use_secrets(["short"])


async def test_disconnect_closes_sessions_and_revokes_tokens() -> None:
    async with new_hub() as hub:
        token = hub.create_channel("ada").token
        sinks = [connect(hub, "ada"), connect(hub, "ada")]
        other = connect(hub, "bob")
        assert await hub.disconnect("ada") == 2
        assert [sink.close_codes for sink in sinks] == [[codes.REVOKED_TOKEN]] * 2
        assert other.closes == []
        with pytest.raises(RevokedTokenError):
            hub.verify(token)
        assert (
            hub.verify(hub.create_channel("ada").token).sub == "ada"
        )  # a new one is valid at once
        assert await hub.disconnect("ada") == 0


async def test_disconnect_revokes_tokens_of_a_clock_that_is_ahead() -> None:
    clock = ManualClock()
    async with new_hub(clocks=clock.clocks) as hub:
        ahead = {"sub": "ada", "iat": clock.unix_s + 3, "exp": clock.unix_s + 600}
        token = jwt.encode(ahead, SECRET)
        await hub.disconnect("ada")
        fresh = hub.create_channel("ada").token
        for seconds in (0, 10, 100):
            clock.advance(seconds)
            with pytest.raises(RevokedTokenError):
                hub.verify(token)
            assert hub.verify(fresh).sub == "ada"


async def test_new_tokens_are_valid_after_a_clock_that_was_a_year_ahead_came_back() -> None:
    clock = ManualClock()
    async with new_hub(clocks=clock.clocks) as hub:
        clock.unix_s += 365 * 86400
        await hub.disconnect("ada")
        clock.unix_s -= 365 * 86400
        hub.core.expire()
        assert hub.verify(hub.create_channel("ada").token).sub == "ada"


async def test_a_client_is_added_to_a_bounded_number_of_groups(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(membership_overrides, "JOINED_MAX_GROUPS", 1)
    async with new_hub() as hub:
        for _ in range(2):
            await hub.join("ada", "lobby")
        with pytest.raises(InputError, match="at most 1 are allowed"):
            await hub.join("ada", "another")
        await hub.leave("ada", "lobby")
        await hub.join("ada", "another")


@pytest.mark.parametrize("client_id", ["", "a" * 257, "\ud800"])
async def test_a_client_id_is_checked_by_every_operation(client_id: str) -> None:
    async with new_hub() as hub:
        with pytest.raises(InputError, match="client ID"):
            await hub.disconnect(client_id)
        with pytest.raises(InputError, match="client ID"):
            await hub.presence(client_id)
        with pytest.raises(InputError, match="client ID"):
            await hub.join(client_id, "lobby")
        with pytest.raises(InputError, match="client ID"):
            await hub.leave(client_id, "lobby")
        with pytest.raises(InputError, match="client ID"):
            await hub.send("x", to=client_id)


# --- messages --------------------------------------------------------------------------------


async def test_each_kind_of_target() -> None:
    async with new_hub() as hub:
        ada, bob = connect(hub, "ada", "lobby"), connect(hub, "bob")
        receipts = [
            await hub.send("to one", to="ada"),
            await hub.send("to several", to=["ada", "bob", "nobody"]),
            await hub.send("from an iterator", to=iter(["bob"])),
            await hub.send("to a group", group="lobby"),
            await hub.send("to all", everyone=True),
        ]
        hub.core.flush()
        assert [receipt.sessions for receipt in receipts] == [1, 2, 1, 1, 2]
        assert ada.data == ["to one", "to several", "to a group", "to all"]
        assert bob.data == ["to several", "from an iterator", "to all"]
        assert ada.messages[-1].position == receipts[-1].id


async def test_messages_are_delivered_at_the_end_of_the_tick() -> None:
    async with new_hub() as hub:
        delivered = hub.loop.create_future()

        def on_deliver(what: object) -> None:
            if sink.data and not delivered.done():
                delivered.set_result(None)

        sink = connect(hub, "ada")
        sink.on_deliver = on_deliver
        await hub.send("x", to="ada")
        assert sink.data == []
        await delivered
        assert sink.data == ["x"]


@pytest.mark.parametrize(
    "target",
    [
        {},
        {"to": ()},
        {"to": "ada", "group": "lobby"},
        {"to": "ada", "everyone": True},
        {"group": "lobby", "everyone": True},
        {"group": ""},
        {"to": ["ada", ""]},
    ],
)
async def test_a_send_without_exactly_one_valid_target(target: dict[str, Any]) -> None:
    async with new_hub() as hub:
        with pytest.raises(InputError):
            await hub.send("x", **target)
        assert hub.core.counters.messages == 0


@pytest.mark.parametrize("data", [b"bytes", 5, None, {"a": 1}, ["x"]])
async def test_data_that_is_not_a_string(data: Any) -> None:
    async with new_hub() as hub:
        with pytest.raises(TypeError, match=r"must be a string: JSON-encode any other value") as e:
            await hub.send(data, to="ada")
        assert f"of type {type(data).__name__}" in str(e.value)
        assert hub.core.counters.messages == 0


async def test_data_over_the_limit() -> None:
    async with new_hub(message_max_bytes=10) as hub:
        await hub.send("é" * 5, to="ada")
        with pytest.raises(TooLargeError, match="a message holds at most 10"):
            await hub.send("é" * 6, to="ada")


async def test_an_idempotency_key_makes_two_sends_one() -> None:
    clock = ManualClock()
    async with new_hub(clocks=clock.clocks) as hub:
        sink = connect(hub, "ada")
        first = await hub.send("x", to="ada", idempotency_key="k")
        assert await hub.send("x", to="ada", idempotency_key="k") == first
        assert await hub.send("x", to="ada", idempotency_key="é" * 128) != first
        clock.advance(300)
        assert await hub.send("x", to="ada", idempotency_key="k") != first
        hub.core.flush()
        assert len(sink.messages) == 3


@pytest.mark.parametrize("key", ["", "x" * 257, "é" * 129, "\ud800"])
async def test_an_idempotency_key_is_1_to_256_bytes(key: str) -> None:
    async with new_hub() as hub:
        with pytest.raises(InputError, match="idempotency_key"):
            await hub.send("x", to="ada", idempotency_key=key)
        assert hub.core.counters.messages == 0


async def test_an_invalid_send_does_not_use_its_key() -> None:
    async with new_hub(message_max_bytes=10) as hub:
        with pytest.raises(TooLargeError):
            await hub.send("x" * 11, to="ada", idempotency_key="k")
        await hub.send("x", to="ada", idempotency_key="k")
        assert hub.core.counters.messages == 1


async def test_a_client_s_message_is_relayed_or_given_to_the_application() -> None:
    application = FakeApplication()
    async with new_hub(application) as hub:
        bob = connect(hub, "bob")
        claims = hub.verify(hub.create_channel("ada", send=["client:bob"]).token)
        receipt = await hub.send_from_client(claims, "relayed", to="bob")
        assert receipt is not None
        assert receipt.sessions == 1
        assert await hub.send_from_client(claims, "for the application") is None
        hub.core.flush()
        assert bob.data == ["relayed"]
        assert application.messages == [UpdateMessage("ada", "for the application")]


async def test_a_client_s_message_without_a_grant_and_an_application_is_forbidden() -> None:
    async with new_hub() as hub:
        claims = hub.verify(hub.create_channel("ada").token)
        with pytest.raises(ForbiddenError):
            await hub.send_from_client(claims, "x", to="bob")


# --- groups and presence ---------------------------------------------------------------------


async def test_join_and_leave_change_what_a_client_receives() -> None:
    async with new_hub() as hub:
        sink = connect(hub, "ada")
        connect(hub, "ada")
        assert await hub.join("ada", "lobby") == 2
        assert (await hub.send("1", group="lobby")).sessions == 2
        assert await hub.leave("ada", "lobby") == 2
        assert (await hub.send("2", group="lobby")).sessions == 0
        hub.core.flush()
        assert sink.data == ["1"]


async def test_a_membership_also_applies_to_later_sessions() -> None:
    clock = ManualClock()
    async with new_hub(clocks=clock.clocks) as hub:
        claims = hub.verify(hub.create_channel("ada", groups=["lobby"]).token)
        clock.advance(0.001)
        assert await hub.leave("ada", "lobby") == 0
        assert await hub.join("bob", "lobby") == 0
        hub.core.attach(claims, MemorySink())  # the token is older than the change
        connect(hub, "bob")
        members = (await hub.presence_of_group("lobby")).clients
        assert [member.client_id for member in members] == ["bob"]


@pytest.mark.parametrize("group", ["", "g" * 257, "\udfff"])
async def test_a_group_name_is_checked_by_every_operation(group: str) -> None:
    async with new_hub() as hub:
        with pytest.raises(InputError, match="group name"):
            await hub.join("ada", group)
        with pytest.raises(InputError, match="group name"):
            await hub.leave("ada", group)
        with pytest.raises(InputError, match="group name"):
            await hub.presence_of_group(group)


async def test_presence_of_a_client() -> None:
    clock = ManualClock()
    async with new_hub(clocks=clock.clocks, presence_grace_s=2) as hub:
        assert await hub.presence("ada") == ClientPresence("ada", False, None, 0)
        since = clock.unix_s
        connect(hub, "ada")
        clock.advance(5)
        connect(hub, "ada")
        assert await hub.presence("ada") == ClientPresence("ada", True, since, 2)
        for session in hub.core.sessions_of("ada"):
            hub.core.detach(session)
        assert await hub.presence("ada") == ClientPresence("ada", True, since, 0)
        clock.advance(2)
        hub.core.expire()
        assert await hub.presence("ada") == ClientPresence("ada", False, None, 0)


async def test_presence_of_a_group() -> None:
    clock = ManualClock()
    async with new_hub(clocks=clock.clocks) as hub:
        connect(hub, "ada", "lobby")
        connect(hub, "ada", "lobby")
        connect(hub, "bob", "lobby")
        connect(hub, "carol")
        since = clock.unix_s
        assert await hub.presence_of_group("lobby") == GroupPresence(
            "lobby",
            2,
            (ClientPresence("ada", True, since, 2), ClientPresence("bob", True, since, 1)),
        )
        assert await hub.presence_of_group("empty") == GroupPresence("empty", 0, ())


# --- several hubs ----------------------------------------------------------------------------


async def test_two_hubs_in_one_process_are_independent() -> None:
    async with new_hub() as first, new_hub(secrets=(NEWER_SECRET,)) as second:
        sinks = connect(first, "ada"), connect(second, "ada", "lobby")
        await first.send("to the first", to="ada", idempotency_key="k")
        await second.send("to the second", to="ada", idempotency_key="k")
        await first.leave("ada", "lobby")
        assert (await second.send("to a group", group="lobby")).sessions == 1
        first.core.flush()
        second.core.flush()
        assert sinks[0].data == ["to the first"]
        assert sinks[1].data == ["to the second", "to a group"]
        with pytest.raises(InvalidTokenError):
            second.verify(first.create_channel("ada").token)
        await first.disconnect("ada")
        assert (await second.presence("ada")).sessions == 1


@pytest.mark.parametrize("fraction_s", [0.0001, 0.0003, 0.0007, 0.0009])
async def test_a_leave_and_a_token_within_one_millisecond_count_in_their_order(
    fraction_s: float,
) -> None:
    clock = ManualClock()
    clock.unix_s += fraction_s
    async with new_hub(clocks=clock.clocks) as hub:
        before = hub.verify(hub.create_channel("ada", groups=["lobby"]).token)
        await hub.leave("ada", "lobby")
        assert hub.core.subscriptions.groups_of(before) == ()
        after = hub.verify(hub.create_channel("ada", groups=["lobby"]).token)
        assert hub.core.subscriptions.groups_of(after) == ("lobby",)

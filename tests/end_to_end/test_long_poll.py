"""Long polls: many missed messages are split over responses of limited size, in order."""

from tests.helpers.site import Json, Site, mint

from headrace.api.routes.poll import RESPONSE_MAX_BYTES
from headrace.hub.session import FLUSH_MAX_BYTES

MISSED = 200
DATA = "x" * 32_000


async def poll(site: Site, last_id: str) -> tuple[int, Json]:
    """Return the size of a response body, and its JSON."""
    url = f"{site.url}/v1/poll?token={mint()}&last_id={last_id}"
    async with site.http.get(url) as response:
        assert response.status == 200
        decoded: Json = await response.json()
        return len(await response.read()), decoded


async def test_missed_messages_are_split_over_several_responses(site: Site) -> None:
    last_id = str(site.core.history.latest)
    sent = [(await site.send(f"{number} {DATA}"))["id"] for number in range(MISSED)]
    got: list[str] = []
    polls = 0
    while len(got) < MISSED:
        size_bytes, body = await poll(site, last_id)
        polls += 1
        assert body["messages"]
        assert "recovered" not in body
        assert size_bytes < RESPONSE_MAX_BYTES + 2 * FLUSH_MAX_BYTES
        last_id = body["last_id"]
        got += [message["id"] for message in body["messages"]]
        assert got[-1] == last_id
    assert got == sent
    assert 4 < polls < 10


async def test_poll_without_an_id_continues_after_the_last_one(site: Site) -> None:
    last_id = str(site.core.history.latest)
    sent = [(await site.send(f"{number} {DATA}"))["id"] for number in range(MISSED)]
    _, first = await poll(site, last_id)
    _, second = await poll(site, "")
    got = [message["id"] for body in (first, second) for message in body["messages"]]
    assert got == sent[: len(got)]
    assert len(got) > len(first["messages"])

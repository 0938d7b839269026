"""A long poll gives what was missed in answers of a bounded size, in order, and loses nothing."""

from tests.server.kit import Json, Site, mint

from headrace import limits

MISSED = 200
DATA = "x" * 32_000


async def poll(site: Site, last_id: str) -> tuple[int, Json]:
    """Return the size of an answer and its JSON."""
    url = f"{site.url}/v1/poll?token={mint()}&last_id={last_id}"
    async with site.http.get(url) as answer:
        assert answer.status == 200
        decoded: Json = await answer.json()
        return len(await answer.read()), decoded


async def test_what_was_missed_comes_in_several_answers(site: Site) -> None:
    last_id = str(site.server.hub.history.latest)
    sent = [(await site.send(f"{number} {DATA}"))["id"] for number in range(MISSED)]
    got: list[str] = []
    answers = 0
    while len(got) < MISSED:
        size_bytes, answer = await poll(site, last_id)
        answers += 1
        assert answer["messages"]
        assert "recovered" not in answer
        assert size_bytes < limits.POLL_ANSWER_MAX_BYTES + 2 * limits.FLUSH_MAX_BYTES
        last_id = answer["last_id"]
        got += [message["id"] for message in answer["messages"]]
        assert got[-1] == last_id
    assert got == sent
    assert 4 < answers < 10


async def test_a_poll_that_names_no_id_goes_on_where_the_last_one_stopped(site: Site) -> None:
    last_id = str(site.server.hub.history.latest)
    sent = [(await site.send(f"{number} {DATA}"))["id"] for number in range(MISSED)]
    _, first = await poll(site, last_id)
    _, second = await poll(site, "")
    got = [message["id"] for answer in (first, second) for message in answer["messages"]]
    assert got == sent[: len(got)]
    assert len(got) > len(first["messages"])

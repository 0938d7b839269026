"""`idempotency_key`: a send that is repeated is answered again, and sent once."""

import asyncio
import json

from tests.server.kit import API_KEY, Json, Site, opened, recv

KEYED: Json = {"to": "alice", "data": "once", "idempotency_key": "žluť/1"}


async def test_the_same_key_twice_is_one_message(site: Site) -> None:
    async with site.connect(await site.channel()) as client:
        await opened(client)
        answers = [await site.post("/v1/send", KEYED) for _ in range(3)]
        assert [status for status, _, _ in answers] == [200] * 3
        assert answers[0][1] == answers[1][1] == answers[2][1]
        assert answers[0][1]["sessions"] == 1
        # The key alone decides, and another key is another send.
        status, other, _ = await site.post("/v1/send", {**KEYED, "data": "changed"})
        assert (status, other) == (200, answers[0][1])
        _, another, _ = await site.post("/v1/send", {**KEYED, "idempotency_key": "2"})
        assert another["id"] != answers[0][1]["id"]
        await site.send("last")
        frames = [await recv(client) for _ in range(3)]
    assert [frame["data"] for frame in frames] == ["once", "once", "last"]
    assert [frame["id"] for frame in frames[:2]] == [answers[0][1]["id"], another["id"]]
    assert (await site.stats())["messages"] == 3


async def test_many_at_once(site: Site) -> None:
    answers = await asyncio.gather(*[site.post("/v1/send", KEYED) for _ in range(50)])
    assert len({answer["id"] for _, answer, _ in answers}) == 1
    assert (await site.stats())["messages"] == 1


async def test_a_send_that_failed_may_be_corrected_under_its_key(site: Site) -> None:
    assert (await site.post("/v1/send", {**KEYED, "to": ""}))[0] == 400
    assert (await site.post("/v1/send", {**KEYED, "data": "x" * 32769}))[0] == 413
    assert (await site.post("/v1/send", KEYED))[0] == 200


async def test_in_a_batch_too_and_across_both_routes(site: Site) -> None:
    _, single, _ = await site.post("/v1/send", KEYED)
    lines = [KEYED, {**KEYED, "idempotency_key": "b"}, {**KEYED, "idempotency_key": "b"}]
    headers = {"authorization": f"Bearer {API_KEY}", "content-type": "application/x-ndjson"}
    body = "\n".join(map(json.dumps, lines))
    async with site.http.post(
        site.url + "/v1/send/batch", data=body.encode(), headers=headers
    ) as answer:
        answers = [json.loads(line) for line in (await answer.text()).splitlines()]
    assert answers[0] == single
    assert answers[1] == answers[2] != single
    assert (await site.stats())["messages"] == 2


async def test_keys_that_cannot_be_used(site: Site) -> None:
    for key in ("", "x" * 257, "é" * 129, 5):
        status, answer, _ = await site.post("/v1/send", {**KEYED, "idempotency_key": key})
        assert status == 400
        assert "idempotency_key" in answer["detail"]
    assert (await site.stats())["messages"] == 0

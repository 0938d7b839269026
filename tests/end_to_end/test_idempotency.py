"""`idempotency_key`: a repeated send has the same response, and is sent once."""

import asyncio
import json

from tests.helpers.site import API_KEY, Json, Site, opened, recv

KEYED: Json = {"to": "alice", "data": "once", "idempotency_key": "žluť/1"}


async def test_same_key_is_sent_once(site: Site) -> None:
    async with site.connect(await site.channel()) as client:
        await opened(client)
        receipts = [await site.post("/v1/send", KEYED) for _ in range(3)]
        assert [status for status, _, _ in receipts] == [200] * 3
        assert receipts[0][1] == receipts[1][1] == receipts[2][1]
        assert receipts[0][1]["sessions"] == 1
        _, another, _ = await site.post("/v1/send", {**KEYED, "idempotency_key": "2"})
        assert another["id"] != receipts[0][1]["id"]
        await site.send("last")
        frames = [await recv(client) for _ in range(3)]
    assert [frame["data"] for frame in frames] == ["once", "once", "last"]
    assert [frame["id"] for frame in frames[:2]] == [receipts[0][1]["id"], another["id"]]
    assert (await site.stats())["messages"] == 3


async def test_key_of_another_message(site: Site) -> None:
    _, receipt, _ = await site.post("/v1/send", KEYED)
    for change in ({"data": "changed"}, {"to": "bob"}, {"to": ["alice", "bob"]}):
        status, problem, _ = await site.post("/v1/send", {**KEYED, **change})
        assert status == 409
        assert "idempotency_key" in problem["detail"]
    assert (await site.post("/v1/send", KEYED))[:2] == (200, receipt)
    assert (await site.stats())["messages"] == 1


async def test_concurrent_sends(site: Site) -> None:
    responses = await asyncio.gather(*[site.post("/v1/send", KEYED) for _ in range(50)])
    assert len({receipt["id"] for _, receipt, _ in responses}) == 1
    assert (await site.stats())["messages"] == 1


async def test_failed_send_does_not_use_its_key(site: Site) -> None:
    assert (await site.post("/v1/send", {**KEYED, "to": ""}))[0] == 400
    assert (await site.post("/v1/send", {**KEYED, "data": "x" * 32769}))[0] == 413
    assert (await site.post("/v1/send", KEYED))[0] == 200


async def test_batch_shares_the_keys(site: Site) -> None:
    _, single, _ = await site.post("/v1/send", KEYED)
    lines = [KEYED, {**KEYED, "idempotency_key": "b"}, {**KEYED, "idempotency_key": "b"}]
    headers = {"authorization": f"Bearer {API_KEY}", "content-type": "application/x-ndjson"}
    body = "\n".join(map(json.dumps, lines))
    async with site.http.post(
        site.url + "/v1/send/batch", data=body.encode(), headers=headers
    ) as response:
        results = [json.loads(line) for line in (await response.text()).splitlines()]
    assert results[0] == single
    assert results[1] == results[2] != single
    assert (await site.stats())["messages"] == 2


async def test_invalid_keys(site: Site) -> None:
    for key in ("", "x" * 257, "é" * 129, 5):
        status, problem, _ = await site.post("/v1/send", {**KEYED, "idempotency_key": key})
        assert status == 400
        assert "idempotency_key" in problem["detail"]
    assert (await site.stats())["messages"] == 0

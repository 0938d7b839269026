"""`/healthz`, `/v1/stats` and the files for pages."""

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.server.kit import API_KEY, Site, opened, recv
from tests.server.wire import wire

from headrace.version import __version__

STATS = [
    "version",
    "uptime_s",
    "sessions",
    "clients",
    "groups",
    "messages",
    "deliveries",
    "dropped",
    "slow_closed",
    "history_bytes",
]


async def test_healthz_is_open(site: Site) -> None:
    async with wire(site.port) as client:
        reply = await client.ask("GET", "/healthz")
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert reply.json() == {"status": "ok"}


async def test_stats_count_what_happened(site: Site) -> None:
    before = await site.stats()
    assert list(before) == STATS
    assert before["version"] == __version__
    assert 0 <= before["uptime_s"] < 60
    assert [before[name] for name in STATS[2:]] == [0] * 8

    token = await site.channel(groups=["g", "h"])
    async with site.connect(token) as one, site.connect(token) as two:
        await opened(one)
        await opened(two)
        await site.send("x" * 1000)
        await site.send("y" * 1000, to="nobody")
        await recv(one)
        await recv(two)
        during = await site.stats()
    assert {name: during[name] for name in STATS[2:9]} == {
        "sessions": 2,
        "clients": 1,
        "groups": 2,
        "messages": 2,
        "deliveries": 2,
        "dropped": 0,
        "slow_closed": 0,
    }
    assert 2000 < during["history_bytes"] < 6000
    assert during["uptime_s"] > before["uptime_s"]

    await site.connections_end(left=1)  # the application's own
    after = await site.stats()
    assert [after[name] for name in ("sessions", "clients", "groups")] == [0, 0, 0]
    assert after["messages"] == 2


@pytest.mark.parametrize("path", ["/headrace.js", "/_ah/channel/jsapi"])
async def test_the_scripts_are_sent_once_and_then_confirmed(site: Site, path: str) -> None:
    async with wire(site.port) as client:
        reply = await client.ask("GET", path)
        assert reply.status == 200
        assert reply.headers["content-type"] == "text/javascript; charset=utf-8"
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["access-control-allow-origin"] == "*"
        assert b"Channel" in reply.body
        etag = reply.headers["etag"]
        for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            confirmed = await client.ask("GET", path, f"If-None-Match: {known}")
            assert (confirmed.status, confirmed.body) == (304, b"")
            assert confirmed.headers["etag"] == etag
        changed = await client.ask("GET", path, 'If-None-Match: "other"')
        assert (changed.status, changed.body) == (200, reply.body)


async def test_the_scripts_take_a_query(site: Site) -> None:
    async with wire(site.port) as client:
        assert (await client.ask("GET", "/_ah/channel/jsapi?v=2")).status == 200


async def test_the_slowest_are_named_where_that_is_asked_for(site: Site) -> None:
    tokens = {name: await site.channel(name) for name in ("quick", "slow", "slower")}
    async with (
        site.connect(tokens["quick"]) as quick,
        site.connect(tokens["slow"]) as slow,
        site.connect(tokens["slower"]) as slower,
    ):
        for client in (quick, slow, slower):
            await opened(client)
        sessions = {session.client_id: session for session in site.server.hub.sessions}
        sessions["slow"].pause()
        sessions["slower"].pause()
        await site.send("1", everyone=True)
        await site.send("2", to="slower")
        headers = {"authorization": f"Bearer {API_KEY}"}

        async def slowest(count: str) -> object:
            url = f"{site.url}/v1/stats?slowest={count}"
            async with site.http.get(url, headers=headers) as answer:
                assert answer.status == (200 if count.isdigit() and 1 <= int(count) <= 100 else 400)
                fields = await answer.json(content_type=None)
                return fields.get("slowest", fields["detail"] if answer.status == 400 else None)

        assert await slowest("1") == [{"client_id": "slower", "messages": 2}]
        assert await slowest("100") == [
            {"client_id": "slower", "messages": 2},
            {"client_id": "slow", "messages": 1},
        ]
        for bad in ("0", "101", "-1", "x", "1" * 30, "000000001" + "9" * 50, "%C2%B2"):
            assert "from 1 to 100" in str(await slowest(bad))
        assert "slowest" not in await site.stats()
        async with site.http.get(f"{site.url}/metrics") as answer:
            text = await answer.text()
    for line in (
        '_bucket{le="0"} 1',
        '_bucket{le="1"} 2',
        '_bucket{le="10"} 3',
        "_count 3",
        "_sum 3",
    ):
        assert f"headrace_session_lag_messages{line}" in text.replace(".0", "")


async def test_prometheus_reads_the_same_numbers(site: Site) -> None:
    async with site.connect(await site.channel()) as client:
        await opened(client)
        await site.send("x")
        await recv(client)
        async with site.http.get(f"{site.url}/metrics") as answer:
            assert answer.status == 200
            assert answer.headers["content-type"].startswith("text/plain; version=")
            families = text_string_to_metric_families(await answer.text())
        found = {sample.name: sample.value for family in families for sample in family.samples}
        stats = await site.stats()
    assert found["headrace_messages_total"] == stats["messages"] == 1
    assert found["headrace_deliveries_total"] == stats["deliveries"] == 1
    assert found["headrace_sessions"] == stats["sessions"] == 1
    assert found["headrace_history_bytes"] == stats["history_bytes"] > 0
    assert found["headrace_info"] == 1
    assert all(name.startswith("headrace_") for name in found)

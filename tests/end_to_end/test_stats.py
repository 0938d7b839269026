"""`/healthz`, `/v1/stats` and `/metrics`."""

from prometheus_client.parser import text_string_to_metric_families
from tests.helpers.site import API_KEY, Site, opened, recv
from tests.helpers.wire import wire

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
        response = await client.fetch("GET", "/healthz")
    assert response.status == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {"status": "ok"}


async def test_stats(site: Site) -> None:
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
    assert 2000 < during["history_bytes"] < 6200
    assert during["uptime_s"] > before["uptime_s"]

    await site.wait_for_connections(1)  # the application's HTTP client
    after = await site.stats()
    assert [after[name] for name in ("sessions", "clients", "groups")] == [0, 0, 0]
    assert after["messages"] == 2


async def test_slowest_sessions(site: Site) -> None:
    tokens = {name: await site.channel(name) for name in ("quick", "slow", "slower")}
    async with (
        site.connect(tokens["quick"]) as quick,
        site.connect(tokens["slow"]) as slow,
        site.connect(tokens["slower"]) as slower,
    ):
        for client in (quick, slow, slower):
            await opened(client)
        sessions = {session.client_id: session for session in site.core.sessions}
        sessions["slow"].pause()
        sessions["slower"].pause()
        await site.send("1", everyone=True)
        await site.send("2", to="slower")
        headers = {"authorization": f"Bearer {API_KEY}"}

        async def slowest(count: str) -> object:
            url = f"{site.url}/v1/stats?slowest={count}"
            async with site.http.get(url, headers=headers) as response:
                is_valid = count.isdigit() and 1 <= int(count) <= 100
                assert response.status == (200 if is_valid else 400)
                fields = await response.json(content_type=None)
                return fields.get("slowest", fields["detail"] if response.status == 400 else None)

        assert await slowest("1") == [{"client_id": "slower", "messages": 2}]
        assert await slowest("100") == [
            {"client_id": "slower", "messages": 2},
            {"client_id": "slow", "messages": 1},
        ]
        for invalid in ("0", "101", "-1", "x", "1" * 30, "000000001" + "9" * 50, "%C2%B2"):
            assert "from 1 to 100" in str(await slowest(invalid))
        assert "slowest" not in await site.stats()
        async with site.http.get(f"{site.url}/metrics") as response:
            text = await response.text()
    for line in (
        '_bucket{le="0"} 1',
        '_bucket{le="1"} 2',
        '_bucket{le="10"} 3',
        "_count 3",
        "_sum 3",
    ):
        assert f"headrace_session_lag_messages{line}" in text.replace(".0", "")


async def test_metrics_equal_the_stats(site: Site) -> None:
    async with site.connect(await site.channel()) as client:
        await opened(client)
        await site.send("x")
        await recv(client)
        async with site.http.get(f"{site.url}/metrics") as response:
            assert response.status == 200
            assert response.headers["content-type"].startswith("text/plain; version=")
            families = text_string_to_metric_families(await response.text())
        samples = {sample.name: sample.value for family in families for sample in family.samples}
        stats = await site.stats()
    assert samples["headrace_messages_total"] == stats["messages"] == 1
    assert samples["headrace_deliveries_total"] == stats["deliveries"] == 1
    assert samples["headrace_sessions"] == stats["sessions"] == 1
    assert samples["headrace_history_bytes"] == stats["history_bytes"] > 0
    assert samples["headrace_info"] == 1
    assert all(name.startswith("headrace_") for name in samples)

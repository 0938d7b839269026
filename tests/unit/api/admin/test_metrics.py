"""api/admin/metrics.py: the statistics in the format of Prometheus."""

from prometheus_client.parser import text_string_to_metric_families
from tests.helpers.fakes import MemorySink, claims_of
from tests.helpers.fakes_asyncio import new_hub, request_head

from headrace.api.admin.metrics import metrics
from headrace.api.context import ApiContext
from headrace.api.hub import Hub
from headrace.api.router import Request
from headrace.messages.wire import Stats
from headrace.version import __version__


async def scrape(hub: Hub) -> dict[str, float]:
    """Return the value of each sample, by its name and labels."""
    response = await metrics(Request(ApiContext(hub), request_head(), {}, None))
    assert dict(response.headers)["content-type"].startswith("text/plain; version=")
    return {
        sample.name + "".join(f"[{value}]" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(response.body.decode())
        for sample in family.samples
    }


async def test_every_statistic_is_a_metric() -> None:
    async with new_hub() as hub:
        hub.core.attach(claims_of("ada", groups=("lobby",)), MemorySink())
        await hub.send("x", to="ada")
        hub.core.flush()
        samples = await scrape(hub)
    assert samples[f"headrace_info[{__version__}]"] == 1
    assert samples["headrace_sessions"] == samples["headrace_clients"] == 1
    assert samples["headrace_groups"] == 1
    assert samples["headrace_messages_total"] == samples["headrace_deliveries_total"] == 1
    assert samples["headrace_dropped_total"] == samples["headrace_slow_closed_total"] == 0
    assert samples["headrace_history_bytes"] > 0
    assert samples["headrace_uptime_seconds"] >= 0
    names = {name.partition("[")[0].removeprefix("headrace_") for name in samples}
    expected = set(Stats.__struct_fields__) - {"version", "slowest", "uptime_s"}
    assert expected <= {name.removesuffix("_total") for name in names}


async def test_the_backlogs_are_a_histogram() -> None:
    async with new_hub() as hub:
        for number, backlog in enumerate((0, 0, 1, 5, 12)):
            session = hub.core.attach(claims_of(f"client {number}"), MemorySink())
            session.pause()
            for _ in range(backlog):
                await hub.send("x", to=f"client {number}")
        samples = await scrape(hub)
    name = "headrace_session_lag_messages"
    buckets = [samples[f"{name}_bucket[{le}]"] for le in ("0", "1", "10", "100", "+Inf")]
    assert buckets == [2, 3, 4, 5, 5]
    assert (samples[f"{name}_sum"], samples[f"{name}_count"]) == (18, 5)

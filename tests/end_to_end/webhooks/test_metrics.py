"""The metrics of presence notices."""

from prometheus_client.parser import text_string_to_metric_families
from tests.end_to_end.webhooks.conftest import Connect
from tests.helpers.application import CONNECTED, DISCONNECTED, FakeApplication
from tests.helpers.presence_changes import connected, disconnected
from tests.helpers.site import Site, open_site

from headrace import Callbacks

Samples = dict[tuple[str, str], float]


async def notice_metrics(site: Site) -> Samples:
    """Return the values of `headrace_notices_…`, by the rest of the name and the reason."""
    async with site.http.get(site.url + "/metrics") as response:
        text = await response.text()
    return {
        (
            sample.name.removeprefix("headrace_notices_"),
            sample.labels.get("reason", ""),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("headrace_notices_")
    }


async def test_notices_are_counted_by_their_end(
    application: FakeApplication, connect: Connect
) -> None:
    webhooks = connect(notice_max_attempts=2)
    async with open_site(webhooks) as site:
        assert await notice_metrics(site) == {
            ("pending", ""): 0,
            ("delivered_total", ""): 0,
            ("dropped_total", "overflow"): 0,
            ("dropped_total", "rejected"): 0,
        }
        application.respond = lambda kind, body: 500 if kind == CONNECTED else 200
        connected(webhooks, "a")
        disconnected(webhooks, "a")
        await application.wait_for_notices((DISCONNECTED, "a"))
        expected = {
            ("pending", ""): 0,
            ("delivered_total", ""): 1,
            ("dropped_total", "overflow"): 0,
            ("dropped_total", "rejected"): 1,
        }
        while await notice_metrics(site) != expected:  # the response is on its way
            assert len(application.posts) == 3
        await application.stop()
        connected(webhooks, "a")
        assert await notice_metrics(site) == {**expected, ("pending", ""): 1}


async def test_an_application_without_statistics_has_no_such_metrics() -> None:
    async with open_site(Callbacks()) as site:
        assert await notice_metrics(site) == {}

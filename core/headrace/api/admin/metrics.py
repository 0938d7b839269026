"""`GET /metrics`: the statistics in the Prometheus text format."""

from bisect import bisect_right
from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from headrace.api.admin.stats import stats_of
from headrace.api.hub import Hub
from headrace.api.openapi.operation import OperationDoc, ResponseDoc
from headrace.api.responses import Response
from headrace.api.router import Request, Route
from headrace.hub.application import DeliveryStats, SupportsDeliveryStats

_GAUGES: Final = {
    "uptime_s": ("uptime_seconds", "Seconds since the start."),
    "sessions": ("sessions", "Open sessions."),
    "clients": ("clients", "Clients with a session."),
    "groups": ("groups", "Groups with a session."),
    "history_bytes": ("history_bytes", "Memory of the history."),
}
_COUNTERS: Final = {
    "messages": ("messages", "Messages that were sent."),
    "deliveries": ("deliveries", "Messages that were written to sessions."),
    "dropped": ("dropped", "Messages dropped for slow sessions, which were told of the gap."),
    "slow_closed": ("slow_closed", "Sessions closed because they were too slow."),
}
_LAG_BUCKETS: Final = (0, 1, 10, 100, 1000)


class _Collector:
    """Reads the statistics at each scrape."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def collect(self) -> Iterable[Metric]:
        stats = stats_of(self._hub)
        info = GaugeMetricFamily("headrace_info", "The running version.", labels=["version"])
        info.add_metric([stats.version], 1)
        yield info
        for field, (name, text) in _GAUGES.items():
            yield GaugeMetricFamily(f"headrace_{name}", text, value=getattr(stats, field))
        for field, (name, text) in _COUNTERS.items():
            yield CounterMetricFamily(f"headrace_{name}", text, value=getattr(stats, field))
        yield _session_lag(self._hub)
        application: object = self._hub.application
        if isinstance(application, SupportsDeliveryStats):
            yield from _notices(application.delivery_stats())


def _session_lag(hub: Hub) -> Metric:
    """Return the backlogs of all open sessions as a histogram."""
    lags = sorted(session.backlog for session in hub.core.sessions)
    buckets = [(str(bound), bisect_right(lags, bound)) for bound in _LAG_BUCKETS]
    return HistogramMetricFamily(
        "headrace_session_lag_messages",
        "Messages that wait for a session, for each open session.",
        buckets=[*buckets, ("+Inf", len(lags))],
        sum_value=sum(lags),
    )


def _notices(stats: DeliveryStats) -> Iterable[Metric]:
    """Return the metrics of the presence notices to the application."""
    yield GaugeMetricFamily(
        "headrace_notices_pending", "Presence notices to deliver.", value=stats.pending
    )
    yield CounterMetricFamily(
        "headrace_notices_delivered",
        "Presence notices that the application took, or has no handler for.",
        value=stats.delivered,
    )
    dropped = CounterMetricFamily(
        "headrace_notices_dropped",
        "Presence notices that were dropped: too many were pending (overflow), or the application"
        " responded to every attempt with an error (rejected).",
        labels=["reason"],
    )
    for reason, count in stats.dropped.items():
        dropped.add_metric([reason], count)
    yield dropped


async def metrics(request: Request) -> Response:
    """Return the metrics of this process."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(request.hub))
    headers = (("content-type", CONTENT_TYPE_LATEST), ("cache-control", "no-store"))
    return Response(200, headers, generate_latest(registry))


_DOC = OperationDoc(
    (ResponseDoc(200, "The metrics.", media=CONTENT_TYPE_LATEST.partition(";")[0]),)
)

ROUTES = (Route("GET", "/metrics", metrics, doc=_DOC),)

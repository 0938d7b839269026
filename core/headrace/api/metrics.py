"""`GET /metrics`: the numbers of `/v1/stats` in the Prometheus text format."""

from bisect import bisect_right
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from headrace.api.answers import Answer
from headrace.api.describe import Doc, Reply
from headrace.api.node import Node
from headrace.api.routing import Access, Call, Route
from headrace.api.status import stats_of

_GAUGES = {
    "uptime_s": ("uptime_seconds", "Seconds since the start."),
    "sessions": ("sessions", "Open sessions."),
    "clients": ("clients", "Clients with a session."),
    "groups": ("groups", "Groups with a session."),
    "history_bytes": ("history_bytes", "Memory of the history."),
}
_LAGS = (0, 1, 10, 100, 1000)
_COUNTERS = {
    "messages": ("messages", "Messages that got their place in the order."),
    "deliveries": ("deliveries", "Messages handed to sessions' connections."),
    "dropped": ("dropped", "Messages dropped for slow sessions, which were told of the gap."),
    "slow_closed": ("slow_closed", "Sessions closed because they were too slow."),
}


class _Collector:
    """Reads the numbers at each scrape; nothing is counted twice for it."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def collect(self) -> Iterable[Metric]:
        stats = stats_of(self._node)
        info = GaugeMetricFamily("headrace_info", "The version that runs.", labels=["version"])
        info.add_metric([stats.version], 1)
        yield info
        for field, (name, text) in _GAUGES.items():
            yield GaugeMetricFamily(f"headrace_{name}", text, value=getattr(stats, field))
        for field, (name, text) in _COUNTERS.items():
            yield CounterMetricFamily(f"headrace_{name}", text, value=getattr(stats, field))
        yield _lag_of(self._node)


def _lag_of(node: Node) -> Metric:
    """Return how far behind the sessions are, as a histogram of all there are now."""
    lags = sorted(session.backlog for session in node.hub.sessions)
    buckets = [(str(bound), bisect_right(lags, bound)) for bound in _LAGS]
    return HistogramMetricFamily(
        "headrace_session_lag_messages",
        "Messages that wait for a session, for each one that is open now.",
        buckets=[*buckets, ("+Inf", len(lags))],
        sum_value=sum(lags),
    )


async def metrics(call: Call) -> Answer:
    """Answer with the numbers of this process, for Prometheus to scrape."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(call.node))
    headers = (("content-type", CONTENT_TYPE_LATEST), ("cache-control", "no-store"))
    return Answer(200, headers, generate_latest(registry))


_DOC = Doc((Reply(200, "The numbers.", media=CONTENT_TYPE_LATEST.partition(";")[0]),))

ROUTES = (Route("GET", "/metrics", Access.OPEN, metrics, doc=_DOC),)

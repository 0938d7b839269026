"""Log lines about deliveries; a failure that repeats is not logged each time."""

import logging
from collections import Counter

from headrace.hooks.client_queue import PresenceNotice
from headrace.hooks.webhook_client import DeliveryFailure

_log = logging.getLogger("headrace")


class FailureLog:
    """Remembers what was logged.

    A missing handler is logged once for each path, an unreachable application once for each reason
    until it responds again. Rejected requests and dropped notices are counted, and logged whenever
    their number has grown tenfold.
    """

    def __init__(self) -> None:
        self._paths_without_handler: set[str] = set()
        self._unreachable_reasons: set[str] = set()
        self._rejections: Counter[tuple[str, str]] = Counter()  # by path and reason
        self._log_at: dict[object, int] = {}  # see `_is_due`

    def no_handler(self, path: str, failure: DeliveryFailure) -> None:
        """Log that the application does not handle requests to `path`."""
        if path not in self._paths_without_handler:
            self._paths_without_handler.add(path)
            _log.warning("no handler for %s: %s", path, failure.reason)

    def unreachable(
        self, path: str, failure: DeliveryFailure, notice: PresenceNotice | None = None
    ) -> None:
        """Log a request without a response, unless its reason or its notice's client was logged."""
        is_logged = False
        if notice is not None:
            is_logged = notice.queue.unreachable_logged
            notice.queue.unreachable_logged = True
        if not is_logged and failure.reason not in self._unreachable_reasons:
            self._unreachable_reasons.add(failure.reason)
            _log.warning(
                "request to %s failed: %s; presence notices are retried until it responds",
                path,
                failure.reason,
            )

    def rejected(self, path: str, failure: DeliveryFailure) -> None:
        """Count a notice or update-message to which the application responded with an error."""
        key = (path, failure.reason)
        self._rejections[key] += 1
        count = self._rejections[key]
        if self._is_due(key, count):
            _log.warning("request to %s failed: %s (%d so far)", path, failure.reason, count)

    def responded(self, pending: int) -> None:
        """Log that the application is reachable again, if it was not."""
        if self._unreachable_reasons:
            self._unreachable_reasons.clear()
            _log.warning("the application responds again; %d presence notices are pending", pending)

    def overflowed(self, dropped: int, pending: int) -> None:
        """Log the number of notices that were dropped because too many were pending."""
        if dropped and self._is_due("overflow", dropped):
            _log.warning(
                "%d presence notices are pending; %d older ones were dropped", pending, dropped
            )

    def gave_up(self, dropped: int, attempts: int, failure: DeliveryFailure) -> None:
        """Log the number of notices that were dropped after their last attempt."""
        if self._is_due("gave up", dropped):
            _log.warning(
                "%d presence notices were dropped, each after %d attempts; the last one: %s",
                dropped,
                attempts,
                failure.reason,
            )

    def lost(self, pending: int) -> None:
        """Log the notices that are pending at the shutdown, if any."""
        if pending:
            _log.warning("%d presence notices were not delivered before the shutdown", pending)

    def _is_due(self, what: object, count: int) -> bool:
        """Return True for the first count, and for ten times the last one that was logged."""
        if count < self._log_at.get(what, 1):
            return False
        self._log_at[what] = 10 * count
        return True

"""FailureLog: repeated failures are not logged each time."""

import pytest

from headrace.hooks.client_queue import ClientQueue, PresenceNotice
from headrace.hooks.failure_log import FailureLog
from headrace.hooks.webhook_client import DeliveryFailure, FailureKind

NO_HANDLER = DeliveryFailure(FailureKind.NO_HANDLER, "status 404")
REJECTED = DeliveryFailure(FailureKind.REJECTED, "status 500")
REFUSED = DeliveryFailure(FailureKind.UNREACHABLE, "connection refused")


def notice(client_id: str) -> PresenceNotice:
    return PresenceNotice(ClientQueue(client_id), 1, connected=True)


def test_a_missing_handler_is_logged_once_for_each_path(caplog: pytest.LogCaptureFixture) -> None:
    log = FailureLog()
    for _ in range(10):
        log.no_handler("/a", NO_HANDLER)
        log.responded(0)
        log.no_handler("/b", NO_HANDLER)
    assert caplog.messages == ["no handler for /a: status 404", "no handler for /b: status 404"]


def test_an_outage_is_logged_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    log = FailureLog()
    log.responded(0)
    for number in range(10):
        log.unreachable("/a", REFUSED, notice(str(number)))
        log.unreachable("/b", REFUSED)
    log.responded(7)
    log.responded(6)
    log.unreachable("/b", REFUSED)
    assert [text.split(";")[0] for text in caplog.messages] == [
        "request to /a failed: connection refused",
        "the application responds again",
        "request to /b failed: connection refused",
    ]
    assert "7 presence notices are pending" in caplog.messages[1]


def test_a_client_that_stays_unreachable_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    log = FailureLog()
    hanging = notice("a")
    for _ in range(10):
        log.unreachable("/a", REFUSED, hanging)
        log.responded(1)  # to another client
    assert len(caplog.messages) == 2


def test_rejections_are_logged_when_their_number_has_grown_tenfold(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = FailureLog()
    for _ in range(200):
        log.rejected("/a", REJECTED)
        log.responded(1)
    counts = [text.partition("(")[2] for text in caplog.messages]
    assert counts == ["1 so far)", "10 so far)", "100 so far)"]
    log.rejected("/b", REJECTED)
    assert caplog.messages[-1] == "request to /b failed: status 500 (1 so far)"


def test_dropped_notices_are_logged_when_their_number_has_grown_tenfold(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = FailureLog()
    for count in range(50):
        log.overflowed(count, 100)
    for count in (5, 49, 51):
        log.gave_up(count, 10, REJECTED)
    dropped = "presence notices were dropped, each after 10 attempts; the last one: status 500"
    assert caplog.messages == [
        "100 presence notices are pending; 1 older ones were dropped",
        "100 presence notices are pending; 10 older ones were dropped",
        f"5 {dropped}",
        f"51 {dropped}",
    ]


def test_lost_notices_are_logged_if_there_are_any(caplog: pytest.LogCaptureFixture) -> None:
    log = FailureLog()
    log.lost(0)
    log.lost(3)
    assert caplog.messages == ["3 presence notices were not delivered before the shutdown"]

"""The policy for slow consumers: sessions whose backlog is full.

close         the session is closed with 4008; its client reconnects and resumes
drop-oldest   its oldest messages are dropped, and a `gap` tells the client
"""

from collections.abc import Callable

from headrace import codes
from headrace.hub.counters import Counters
from headrace.hub.session import Session, SessionState
from headrace.messages.message import Message


class SlowConsumers:
    """Applies the setting `slow_consumer`; `detach` removes a session from the hub."""

    def __init__(self, policy: str, counters: Counters, detach: Callable[[Session], None]) -> None:
        self._drops_oldest = policy == "drop-oldest"
        self._counters = counters
        self._detach = detach

    def handle(self, full: list[Session], message: Message) -> int:
        """Apply the policy to sessions that had no room for `message`.

        Returns how many of them do not get it.
        """
        slow = [session for session in full if session.state is not SessionState.CLOSED]
        if self._drops_oldest:
            for session in slow:
                self._counters.dropped += session.push_dropping_oldest(message)
            return len(full) - len(slow)
        for session in slow:  # detach all before closing any sink: a sink may call the hub
            self._detach(session)
        self._counters.slow_closed += len(slow)
        for session in slow:
            session.sink.close(codes.TOO_SLOW, codes.REASONS[codes.TOO_SLOW])
        return len(full)

"""The options of a run. The seed determines all other choices."""

from dataclasses import dataclass
from random import Random

_EVICTING_FLAGS = ("drop-oldest", "--history-max-bytes", "--history-max-age-s")
TRANSPORTS = ("websocket", "sse", "poll")


@dataclass(frozen=True)
class Options:
    """The options of one run, as on the command line.

    `rate` is in messages per second of all publishers together; 0 chooses a rate.
    """

    seed: int = 1
    clients: int = 200
    messages: int = 50_000
    faults: int = 2000
    restarts: int = 5
    kills: int = 0
    clock_steps: int = 0
    publishers: int = 4
    pages: int = 0
    rate: float = 0.0
    transports: tuple[str, ...] = TRANSPORTS
    plant: str | None = None
    lossless_restarts: bool = False
    server_flags: tuple[str, ...] = ()

    @property
    def drops_oldest(self) -> bool:
        """True if the server drops messages for a slow client."""
        return "drop-oldest" in self.server_flags

    @property
    def evicts(self) -> bool:
        """True if a loss may be reported without a crash."""
        return any(flag in self.server_flags for flag in _EVICTING_FLAGS)

    def random(self, name: str) -> Random:
        """Return the random number generator of the part of the run with this name."""
        return Random(f"{self.seed}/{name}")

    @property
    def messages_per_s(self) -> float:
        """The publishing rate; by default slow enough that faults seldom overlap."""
        if self.rate:
            return self.rate
        faults_s = 3.0 * self.faults / max(self.clients, 1)
        shutdowns_s = 6.0 * (self.restarts + self.kills)
        return min(1000.0, self.messages / max(faults_s, shutdowns_s, 1.0))

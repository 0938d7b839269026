"""What a run is made of; the seed decides everything else."""

from dataclasses import dataclass
from random import Random

_EVICTING = ("drop-oldest", "--history-max-bytes", "--history-max-age-s")
TRANSPORTS = ("websocket", "sse", "poll")


@dataclass(frozen=True)
class Options:
    """One run. `rate` is messages a second, by all publishers together; 0 chooses one."""

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
        """Whether the server leaves out what is too much for a slow client."""
        return "drop-oldest" in self.server_flags

    @property
    def evicts(self) -> bool:
        """Whether a loss may be told without a crash."""
        return any(flag in self.server_flags for flag in _EVICTING)

    def random(self, name: str) -> Random:
        """Return the source of randomness of the part of the run with this name."""
        return Random(f"{self.seed}/{name}")

    @property
    def messages_per_s(self) -> float:
        """How fast to publish: slowly enough that faults do not run into each other."""
        if self.rate:
            return self.rate
        faults_s = 3.0 * self.faults / max(self.clients, 1)
        ends_s = 6.0 * (self.restarts + self.kills)
        return min(1000.0, self.messages / max(faults_s, ends_s, 1.0))

"""A message that a publisher sends, and the outcome of the send."""

from dataclasses import dataclass, field

from tests.checker.message_id import MessageId


@dataclass(slots=True)
class SentMessage:
    """One message: its key `"<publisher>:<number>"`, its target, and the ID that it got.

    `epochs` are the state epochs of the server in which it was tried. If there are several, it may
    have been accepted in more than one, because a crash can prevent the response to an accepted
    send.
    """

    key: str
    to: tuple[str, ...]
    group: str | None
    everyone: bool
    crc: int
    epochs: set[int] = field(default_factory=set)
    accepted_id: MessageId | None = None
    refused: bool = False

    @property
    def is_settled(self) -> bool:
        """True if the send was accepted or refused, and is not repeated."""
        return self.accepted_id is not None or self.refused

    def target(self) -> dict[str, object]:
        """Return the fields of the send request that name the target."""
        if self.everyone:
            return {"everyone": True}
        if self.group is not None:
            return {"group": self.group}
        return {"to": self.to[0] if len(self.to) == 1 else list(self.to)}

"""All that a hub must remember across a planned restart, as one value.

Sessions are not in it: they have been closed by then, and their clients come back with their last
ids. Clients that were present are taken up as being about to come back.
"""

from collections.abc import Iterable

import msgspec

from headrace.hub import Hub, Receipt
from headrace.membership import Memberships
from headrace.message import Message
from headrace.position import parse_position
from headrace.roster import Left, Origin


class HistoryEntry(msgspec.Struct, frozen=True, array_like=True):
    """One message of the history and its keys."""

    id: str
    data: str
    group: str | None
    keys: tuple[str, ...]


class Word(msgspec.Struct, frozen=True, array_like=True):
    """What the application has said of one client and one group, and when (Unix time)."""

    client_id: str
    group: str
    joined: bool
    at: float


class LeftOff(msgspec.Struct, frozen=True, array_like=True):
    """Where a client's last session left off, and the newest of its tokens had begun."""

    client_id: str
    position: str
    pos: str
    start: str


class Answered(msgspec.Struct, frozen=True, array_like=True):
    """A send's idempotency key, for how many seconds it still counts, and what was answered."""

    key: str
    left_s: float
    id: str
    sessions: int


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a hub without sessions; ids in their wire form, times in Unix seconds."""

    floor: str
    floors: dict[str, str]
    latest: str
    entries: list[HistoryEntry]
    words: list[Word]
    revocations: dict[str, float]
    present: dict[str, float]
    left: list[LeftOff]
    sends: list[Answered] = []


def take(hub: Hub, sends: Iterable[tuple[str, float, Receipt]] = ()) -> Snapshot:
    """Return what `hub` must remember, and the answers to `sends` that may be repeated."""
    history = hub.history
    return Snapshot(
        floor=str(history.floor),
        floors={key: str(position) for key, position in history.floors().items()},
        latest=str(history.latest),
        entries=[
            HistoryEntry(str(message.position), message.data, message.group, keys)
            for message, keys in history.entries()
        ],
        words=[Word(*word) for word in hub.roster.memberships.words()],
        revocations=hub.revocations.moments(),
        present=hub.presence.clients(),
        left=[
            LeftOff(client_id, str(left.position), str(left.origin.pos), str(left.origin.start))
            for client_id, left in hub.roster.left()
        ],
        sends=[
            Answered(key, left_s, str(receipt.id), receipt.sessions)
            for key, left_s, receipt in sends
        ],
    )


def check_ids(snapshot: Snapshot) -> None:
    """Raise RequestError for an id that is none, before anything of `snapshot` is used."""
    for text in (snapshot.floor, snapshot.latest, *snapshot.floors.values()):
        parse_position(text)
    for entry in snapshot.entries:
        parse_position(entry.id)
    for left in snapshot.left:
        for text in (left.position, left.pos, left.start):
            parse_position(text)
    for sent in snapshot.sends:
        parse_position(sent.id)


def restore(hub: Hub, snapshot: Snapshot, *, return_s: float) -> None:
    """Have `hub`, which has done nothing yet, go on from `snapshot`.

    Clients that were present have `return_s` seconds, and the usual grace, to come back before
    they count as gone. RequestError for an id that is none.
    """
    history = hub.history
    floors = {key: parse_position(position) for key, position in snapshot.floors.items()}
    history.begin(parse_position(snapshot.floor), floors)
    for entry in snapshot.entries:
        message = Message(parse_position(entry.id), entry.data, entry.group)
        history.append(message, entry.keys)
    history.latest = parse_position(snapshot.latest)
    now = hub.clocks.monotonic()
    _restore_words(hub.roster.memberships, snapshot.words)
    for client_id, at in snapshot.revocations.items():
        hub.revocations.revoke(client_id, at)
    hub.presence.expect(snapshot.present, now + return_s)
    forget_at = now + hub.settings.history_max_age_s
    for left in snapshot.left:
        origin = Origin(parse_position(left.pos), parse_position(left.start))
        hub.roster.remember(left.client_id, Left(parse_position(left.position), origin, forget_at))


def _restore_words(memberships: Memberships, words: list[Word]) -> None:
    for word in words:
        say = memberships.join if word.joined else memberships.leave
        say(word.client_id, word.group, word.at)

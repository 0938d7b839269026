"""The state of a hub that survives a planned restart, as one value.

It has no sessions: they are closed before the restart, and their clients resume with their last
ids. Clients that were online count as online until they return or their time is over.
"""

from collections.abc import Iterable

import msgspec

from headrace.auth.revocation import KEPT_S
from headrace.errors import InputError
from headrace.hub.core import HubCore
from headrace.hub.membership_overrides import Memberships
from headrace.hub.subscriptions import ResumePoint, TokenStart
from headrace.messages.entries import KeyedReceipt
from headrace.messages.message import Message
from headrace.messages.position import parse_position


class SavedMessage(msgspec.Struct, frozen=True, array_like=True):
    """One message of the history and its keys."""

    id: str
    data: str
    group: str | None
    keys: tuple[str, ...]


class SavedOverride(msgspec.Struct, frozen=True, array_like=True):
    """The application's last change of one client in one group; `at` is Unix time in seconds."""

    client_id: str
    group: str
    joined: bool
    at: float


class SavedResumePoint(msgspec.Struct, frozen=True, array_like=True):
    """Where a client's last session left off, and its `TokenStart`."""

    client_id: str
    position: str
    pos: str
    start: str


class SavedSend(msgspec.Struct, frozen=True, array_like=True):
    """A send's idempotency key, the seconds for which it is still valid, and the receipt.

    `digest` identifies the send's content; a state of an earlier version has none.
    """

    key: str
    left_s: float
    id: str
    sessions: int
    digest: bytes = b""


# The names in the file of `state_dir`, which earlier versions wrote.
_FILE_NAMES = {"overrides": "words", "online": "present", "resume_points": "left"}


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, rename=_FILE_NAMES):
    """The state of a hub without sessions; ids in their wire form, times in Unix seconds."""

    floor: str
    floors: dict[str, str]
    latest: str
    entries: list[SavedMessage]
    overrides: list[SavedOverride]
    revocations: dict[str, float]
    online: dict[str, float]
    resume_points: list[SavedResumePoint]
    sends: list[SavedSend] = []
    # A state of an earlier version has none of these.
    key_floors: dict[str, str] = {}
    revocation_ids: dict[str, str] = {}
    reserved_ms: int = 0


def take_snapshot(core: HubCore, sends: Iterable[KeyedReceipt] = ()) -> Snapshot:
    """Return the state of `core`; `sends` are the sends whose idempotency keys are valid."""
    history, subscriptions = core.history, core.subscriptions
    revocations = core.revocations.entries()
    return Snapshot(
        floor=str(history.floor),
        floors={key: str(position) for key, position in history.floors().items()},
        latest=str(history.latest),
        entries=[
            SavedMessage(str(message.position), message.data, message.group, keys)
            for message, keys in history.entries()
        ],
        overrides=[SavedOverride(*override) for override in subscriptions.memberships.overrides()],
        revocations={client_id: revoked.at for client_id, revoked in revocations.items()},
        online=core.presence.clients(),
        resume_points=[
            SavedResumePoint(
                client_id,
                str(point.position),
                str(point.token_start.pos),
                str(point.token_start.start),
            )
            for client_id, point in subscriptions.resume_points()
        ],
        sends=[
            SavedSend(key, left_s, str(receipt.id), receipt.sessions, digest)
            for key, left_s, receipt, digest in sends
        ],
        key_floors={key: str(position) for key, position in history.key_floors().items()},
        revocation_ids={
            client_id: str(revoked.position) for client_id, revoked in revocations.items()
        },
    )


def check_positions(snapshot: Snapshot) -> None:
    """Raise InputError if an id or an entry is malformed; call it before using any of it."""
    for text in (
        snapshot.floor,
        snapshot.latest,
        *snapshot.floors.values(),
        *snapshot.key_floors.values(),
        *snapshot.revocation_ids.values(),
    ):
        parse_position(text)
    for entry in snapshot.entries:
        parse_position(entry.id)
        if not entry.keys:
            raise InputError(f"the message {entry.id} has no key")
    for point in snapshot.resume_points:
        for text in (point.position, point.pos, point.start):
            parse_position(text)
    for sent in snapshot.sends:
        parse_position(sent.id)


def restore_snapshot(core: HubCore, snapshot: Snapshot, *, return_s: float) -> None:
    """Continue from `snapshot` in `core`, which must be new.

    Clients that were online stay so for `return_s` seconds plus the usual grace. Raise InputError
    if an id is malformed.
    """
    history, subscriptions = core.history, core.subscriptions
    floors = {key: parse_position(position) for key, position in snapshot.floors.items()}
    history.resume_at(parse_position(snapshot.floor), floors)
    for entry in snapshot.entries:
        message = Message(parse_position(entry.id), entry.data, entry.group)
        history.append(message, entry.keys)
    history.resume_key_floors(
        {key: parse_position(position) for key, position in snapshot.key_floors.items()}
    )
    history.latest = parse_position(snapshot.latest)
    now, unix = core.clocks.monotonic(), core.clocks.unix()
    _restore_overrides(subscriptions.memberships, snapshot.overrides)
    for client_id, at in snapshot.revocations.items():
        if at + KEPT_S > unix:
            position = snapshot.revocation_ids.get(client_id, snapshot.latest)
            core.revocations.revoke(client_id, at, parse_position(position), now)
    core.presence.restore(snapshot.online, now + return_s)
    forget_at = now + core.settings.history_max_age_s
    for saved in snapshot.resume_points:
        token_start = TokenStart(parse_position(saved.pos), parse_position(saved.start))
        point = ResumePoint(parse_position(saved.position), token_start, forget_at)
        subscriptions.save_resume_point(saved.client_id, point)


def _restore_overrides(memberships: Memberships, overrides: list[SavedOverride]) -> None:
    for override in overrides:
        change = memberships.join if override.joined else memberships.leave
        change(override.client_id, override.group, override.at)

"""The values that the client's methods take and return, as frozen structs.

Those of the HTTP API are the server's own types, in `headrace.messages.wire`. Unknown members of a
response are ignored, so that a newer server may add some.
"""

from collections.abc import Sequence

import msgspec

from headrace.messages.wire import ChannelResponse, GroupPresence, SendResponse, Stats
from headrace.messages.wire import ClientPresence as Presence

__all__ = ["Channel", "GroupPresence", "Message", "Presence", "Send", "Sent", "Stats"]


class Channel(ChannelResponse, frozen=True):
    """A client's channel: its token, which is secret, and the token's expiry.

    `expires_at` is in seconds since the epoch.
    """


class Sent(SendResponse, frozen=True):
    """The message's id, and the number of open sessions it was queued for."""


class Send(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One send of a batch: the data and exactly one of `to`, `group` and `everyone`.

    `to` is a client ID or several. Raise TypeError if the data is not a string.
    """

    data: str
    to: str | Sequence[str] = ()
    group: str | None = None
    everyone: bool = False
    idempotency_key: str | None = None

    def __post_init__(self) -> None:
        data: object = self.data  # msgspec does not check types on construction
        if not isinstance(data, str):
            fix = "data.decode()" if isinstance(data, bytes) else "json.dumps(data)"
            raise TypeError(f"data is {type(data).__name__}; it must be a string: send {fix}")


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message to a client, with its id, and the group if it was sent to one."""

    id: str
    data: str
    group: str | None = None

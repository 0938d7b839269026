"""A long poll: `GET /v1/poll` answers with what there is, or waits for what comes.

Each poll is a session that ends with its answer. Between two polls the history keeps what comes,
and the presence grace keeps the client present.
"""

import asyncio
from typing import Literal

import msgspec

from headrace import codes, limits
from headrace.api.answers import JSON, Answer
from headrace.api.auth import claims_of, place_in_query
from headrace.api.describe import PLACES, Data, Doc, GroupName, MessageId, Reply
from headrace.api.routing import Access, Call, Route
from headrace.errors import ExpiredTokenError, RequestError, RevokedTokenError, TokenError
from headrace.message import Encodable, Form, Notice
from headrace.session import Session

_FAULTS: dict[int, type[TokenError]] = {
    codes.EXPIRED_TOKEN: ExpiredTokenError,
    codes.REVOKED_TOKEN: RevokedTokenError,
}


# The two that follow are for the document and for tests: `poll` puts bytes together that are
# the same for every client.


class PollMessage(msgspec.Struct, frozen=True):
    """A message; it has a `group` where it came through one."""

    id: MessageId
    data: Data
    group: GroupName | msgspec.UnsetType = msgspec.UNSET


class PollAnswer(msgspec.Struct, frozen=True):
    """What has come, and the id to ask with the next time.

    `recovered` is there, and false, where something after the asked-for id may be lost.
    """

    messages: tuple[PollMessage, ...]
    last_id: MessageId
    recovered: Literal[False] | msgspec.UnsetType = msgspec.UNSET


class PollSink:
    """Collects what one poll answers; `done` is set when there is something, or an end.

    Past `limits.POLL_ANSWER_MAX_BYTES` it pauses its `session`: what is left is the next poll's.
    """

    def __init__(self) -> None:
        self.session: Session | None = None
        self.size_bytes = 0
        self.done = asyncio.Event()
        self.items: list[bytes] = []
        self.lost = False
        self.closed: int | None = None

    def deliver(self, what: Encodable, now: float) -> None:
        """Collect messages; of the notices, note whether something was lost."""
        if isinstance(what, Notice):
            self.lost |= what.fields["type"] == "gap" or what.fields.get("recovered") is False
        else:
            item = what.encoded(Form.POLL)
            self.items.append(item)
            self.size_bytes += len(item)
            if self.size_bytes > limits.POLL_ANSWER_MAX_BYTES and self.session is not None:
                self.session.pause()
            self.done.set()

    def close(self, code: int, reason: str) -> None:
        """End the wait."""
        self.closed = code
        self.done.set()


async def poll(call: Call) -> Answer:
    """Answer `{"messages": […], "last_id": …}`, at once or when something comes or 25 s are over.

    `"recovered": false` is added where something after `last_id` may be lost. TokenError when the
    token ends meanwhile, RequestError (503) when the server does.
    """
    hub = call.node.hub
    claims = claims_of(call.node, call.request)
    if call.request.method == "HEAD":  # it may wait for nothing, and be given nothing
        return Answer(200, JSON)
    last_id = place_in_query(call.request, "last_id")
    sink = PollSink()
    session = hub.attach(claims, sink, last_id, place_in_query(call.request, "since"))
    sink.session = session
    start = session.position
    try:
        if not sink.lost:
            wait_s = min(limits.POLL_WAIT_S, max(claims.exp - hub.clocks.unix(), 0))
            async with asyncio.timeout(wait_s):
                await sink.done.wait()
        hub.flush()  # also what this tick has brought
    except TimeoutError:
        if claims.exp <= hub.clocks.unix():
            raise ExpiredTokenError("the token's lifetime ended during the poll") from None
    except asyncio.CancelledError:
        hub.detach(session, left_off=start)  # the client is gone: it was given nothing
        raise
    finally:
        hub.detach(session)
    if sink.closed is not None and not sink.items:
        raise _fault(sink.closed)
    lost = b',"recovered":false' if sink.lost else b""
    position = str(session.position).encode()
    body = b'{"messages":[%b],"last_id":"%b"%b}' % (b",".join(sink.items), position, lost)
    return Answer(200, JSON, body)


def _fault(code: int) -> TokenError | RequestError:
    fault = _FAULTS.get(code)
    if fault is not None:
        return fault(codes.REASONS[code])
    retry_after = (("retry-after", str(limits.RETRY_AFTER_S)),)
    return RequestError(503, f"the poll was ended: {codes.REASONS[code]}", retry_after)


_DOC = Doc(
    (Reply(200, "The messages, of which there may be none.", PollAnswer),),
    PLACES,
    summary="A long poll: wait for messages, and ask again with the last id.",
    text=f"""
        Answers at once if there is something after `last_id`, else as soon as something comes, or
        with no messages after {limits.POLL_WAIT_S:g} seconds. Of more than
        {limits.POLL_ANSWER_MAX_BYTES} bytes, the rest is for the next poll.
        """,
)

ROUTES = (Route("GET", "/v1/poll", Access.CLIENT, poll, waits=True, doc=_DOC),)

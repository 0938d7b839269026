"""`GET /v1/poll`: a long poll returns the new messages, or waits for the next one.

Each poll is a session that ends with its response. Between two polls the history keeps new
messages, and the presence grace keeps the client present.
"""

import asyncio
from typing import Final

from headrace import codes
from headrace.api.credentials import position_param, verify_client
from headrace.api.openapi.operation import RESUME_PARAMETERS, OperationDoc, ResponseDoc
from headrace.api.responses import JSON, Response, problem
from headrace.api.router import Request, Route
from headrace.errors import (
    ExpiredTokenError,
    HeadraceError,
    RequestError,
    RevokedTokenError,
    UnavailableError,
)
from headrace.hub.session import Session
from headrace.messages.message import ControlMessage, Encodable, Encoding
from headrace.messages.wire import PollResponse

POLL_WAIT_S: Final = 25.0
"""How long a poll waits for a message before it returns none."""

RESPONSE_MAX_BYTES: Final = 1024 * 1024
"""A response over this size takes no more messages: it is in memory until it has been read."""

_TOKEN_ERRORS: Final[dict[int, type[HeadraceError]]] = {
    codes.EXPIRED_TOKEN: ExpiredTokenError,
    codes.REVOKED_TOKEN: RevokedTokenError,
}


class PollSink:
    """Collects the messages of one poll; `done` is set by the first message and by the close.

    Over `RESPONSE_MAX_BYTES` it pauses its `session`; the rest is left to the next poll.
    """

    def __init__(self) -> None:
        self.session: Session | None = None
        self.size_bytes = 0
        self.done = asyncio.Event()
        self.items: list[bytes] = []
        self.lost = False
        self.close_code: int | None = None

    def deliver(self, what: Encodable, now: float) -> None:
        """Collect messages; note whether a control message reports a loss."""
        if isinstance(what, ControlMessage):
            self.lost |= what.fields["type"] == "gap" or what.fields.get("recovered") is False
        else:
            item = what.encode(Encoding.POLL)
            self.items.append(item)
            self.size_bytes += len(item)
            if self.size_bytes > RESPONSE_MAX_BYTES and self.session is not None:
                self.session.pause()
            self.done.set()

    def close(self, code: int, reason: str) -> None:
        """End the poll."""
        self.close_code = code
        self.done.set()


async def poll(request: Request) -> Response:
    """Return `{"messages": […], "last_id": …}` at once, after the next message, or after 25 s.

    `"recovered": false` is added if messages after `last_id` may be lost. Raises TokenError if the
    token ends during the poll, UnavailableError if the server shuts down. A poll that a newer
    session of the client has replaced gets 409: its client must not poll again.
    """
    core = request.hub.core
    claims = verify_client(request.context, request.head)
    if request.method == "HEAD":  # there is no body that could hold messages
        return Response(200, JSON)
    request.hub.check_accepting()
    last_id = position_param(request.head, "last_id")
    sink = PollSink()
    session = core.attach(claims, sink, last_id, position_param(request.head, "since"))
    sink.session = session
    start = session.position
    try:
        if not sink.lost:
            wait_s = min(POLL_WAIT_S, max(claims.exp - core.clocks.unix(), 0))
            async with asyncio.timeout(wait_s):
                await sink.done.wait()
        core.flush()  # include what was sent in this tick
    except TimeoutError:
        if claims.exp <= core.clocks.unix():
            raise ExpiredTokenError("the token expired during the poll") from None
    except asyncio.CancelledError:
        core.detach(session, left_off=start)  # the client disconnected and got nothing
        raise
    finally:
        core.detach(session)
        sink.session = None  # no reference cycle is left for the garbage collector
    if sink.close_code == codes.REPLACED and not sink.items:
        # With 503 the client would poll again, and replace the one that replaced it, for ever.
        replaced = RequestError(409, codes.REASONS[codes.REPLACED])
        return problem(replaced, code=codes.REPLACED)
    if sink.close_code is not None and not sink.items:
        raise _error_of(sink.close_code)
    lost = b',"recovered":false' if sink.lost else b""
    last = b"%d-%d" % session.position
    body = b'{"messages":[%b],"last_id":"%b"%b}' % (b",".join(sink.items), last, lost)
    return Response(200, JSON, body)


def _error_of(close_code: int) -> HeadraceError:
    kind = _TOKEN_ERRORS.get(close_code)
    if kind is not None:
        return kind(codes.REASONS[close_code])
    return UnavailableError(f"the poll was ended: {codes.REASONS[close_code]}")


_DOC = OperationDoc(
    (ResponseDoc(200, "The messages, possibly none.", PollResponse),),
    RESUME_PARAMETERS,
    errors=(409, 429),
    summary="A long poll: wait for messages, and ask again with the last id.",
    text=f"""
        Responds at once if there are messages after `last_id`, otherwise with the next message, or
        with no messages after {POLL_WAIT_S:g} seconds. Of more than {RESPONSE_MAX_BYTES}
        bytes, the rest is left to the next poll.
        """,
)

ROUTES = (Route("GET", "/v1/poll", poll, access="client", cancel_on_disconnect=True, doc=_DOC),)

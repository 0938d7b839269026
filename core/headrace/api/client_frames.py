"""Decode the text frames that a client sends on a `headrace.v1` WebSocket.

    frame                                              reply
    {"type":"renew","token":…}                         a new `open`, or an error
    {"type":"send","data":…,"to"|"group":…,"ref":…}    `sent`, or an error, with the same `ref`
    anything else                                      an error

Whoever owns the connection calls `ClientFrames.handle` with each frame. This module knows no
transport: the built-in server and the adapters share it.
"""

import logging
from collections.abc import Coroutine
from typing import Any, Final, TypeAlias

import msgspec

from headrace.api.hub import Hub
from headrace.api.json_body import JSON_ERRORS, invalid_json
from headrace.api.responses import REPORTED_ERRORS, SERVER_FAULT, status_of
from headrace.errors import HeadraceError, RateLimitedError, TokenError
from headrace.hub.session import Session
from headrace.messages.message import ControlMessage
from headrace.messages.wire import MessageRequest

PENDING_SENDS_MAX_COUNT: Final = 64
"""Messages of one WebSocket whose handling has not finished; above it 429."""

_log = logging.getLogger("headrace")

Reply: TypeAlias = ControlMessage | Coroutine[Any, Any, ControlMessage] | None
"""A reply to send, a coroutine that returns it, or None: the hub has delivered the reply."""


class _Renew(msgspec.Struct, frozen=True, tag="renew"):
    """A newer token; the reply is a new `open`."""

    token: str = ""


class _Send(MessageRequest, frozen=True, tag="send"):
    """An update-message; the reply is `sent` or `error` with the same `ref`."""

    ref: int | str | None = None


class _Ref(msgspec.Struct, frozen=True):
    """The `ref` of a frame that is invalid otherwise."""

    ref: int | str | None = None


_decoder = msgspec.json.Decoder(_Renew | _Send)
_ref_decoder = msgspec.json.Decoder(_Ref)


def _ref_of(text: str) -> int | str | None:
    try:
        return _ref_decoder.decode(text).ref
    except (msgspec.DecodeError, RecursionError):  # unreadable, or without a usable `ref`
        return None


class ClientFrames:
    """Handles the frames of one connection, which may be created with its first frame."""

    __slots__ = ("_hub", "_pending_sends")

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._pending_sends = 0

    def handle(self, session: Session, text: str) -> Reply:
        """Handle a text frame of the client of `session`.

        An error is returned as a reply, never raised. After None the token was renewed: its expiry
        is now that in `session.claims`, and the session's sink has got the new `open`. A coroutine
        handles an update-message. Run each in a task of its own, started in the order of the
        frames, also if the connection closes in the meantime.
        """
        try:
            try:
                asked = _decoder.decode(text)
            except JSON_ERRORS as error:
                raise invalid_json(error, "frame") from None
            if isinstance(asked, _Send):
                return self._start_send(session, asked)
            self._hub.core.renew(session, self._hub.verify(asked.token))
        except REPORTED_ERRORS as error:
            return _error_reply(error, _ref_of(text))
        return None

    def _start_send(self, session: Session, asked: _Send) -> Coroutine[Any, Any, ControlMessage]:
        if self._pending_sends >= PENDING_SENDS_MAX_COUNT:
            raise RateLimitedError(
                f"{self._pending_sends} messages are still being handled; wait for their replies",
                retry_after_s=1,
            )
        self._pending_sends += 1
        return self._send(session, asked)

    async def _send(self, session: Session, asked: _Send) -> ControlMessage:
        try:
            receipt = await self._hub.send_from_client(
                session.claims, asked.data, to=asked.to, group=asked.group
            )
        except REPORTED_ERRORS as error:
            return _error_reply(error, asked.ref)
        except Exception:  # noqa: BLE001 - as over HTTP: a 500 for the client, details in the log
            _log.exception("handling a message over a WebSocket failed")
            return _error_reply(SERVER_FAULT, asked.ref)
        finally:
            self._pending_sends -= 1
        message_id = None if receipt is None else str(receipt.id)
        return ControlMessage({"type": "sent", "ref": asked.ref, "id": message_id})


def _error_reply(error: HeadraceError, ref: int | str | None) -> ControlMessage:
    fields: dict[str, object] = {"type": "error"}
    if ref is not None:
        fields["ref"] = ref
    if isinstance(error, TokenError):
        fields |= {"code": error.close_code, "detail": error.description}
    else:
        fields |= {"code": status_of(error), "detail": str(error)}
    return ControlMessage(fields)

"""What wsproto does not do: limit messages, inflate them safely, report where a frame ends.

wsproto passes each frame's header to its extensions before the payload, and the payload before it
decodes it; FrameGuard is such an extension. It replaces wsproto's own permessage-deflate, which
inflates without a limit and loses a compressed message if a ping comes between its fragments.

wsproto calls `frame_inbound_header` again when a header arrived in pieces, so nothing is counted
there. It calls `frame_inbound_complete` once for each frame.
"""

import zlib
from typing import Final

from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits

from headrace import codes
from headrace.errors import FrameError

EMPTY_FRAGMENTS_MAX_COUNT: Final = 16
"""Empty fragments of one message. RFC 6455 allows any number of them, but they make no progress,
and each costs as much as a message."""

_DEFLATE_TAIL: Final = b"\x00\x00\xff\xff"
"""The sender removes it from the end of a compressed message (RFC 7692 section 7.2.2)."""


class FrameGuard(Extension):
    """Refuses invalid and oversized messages of one connection, and inflates compressed ones.

    `fault` is the FrameError after a method returned a CloseReason. `consumed` counts the bytes of
    complete frames. `in_message` is True while a fragmented message is incomplete; `message_bytes`
    are its bytes so far.
    """

    name = "headrace-guard"

    def __init__(self, *, deflate: bool, max_bytes: int) -> None:
        self.consumed = 0
        self.fault: FrameError | None = None
        self.in_message = False
        self._deflate = deflate
        self._max_bytes = max_bytes
        # Of the current message:
        self._compressed = False
        # One buffer, not a list of pieces: an empty or tiny fragment must not cost an object.
        self._compressed_data = bytearray()
        self.message_bytes = 0
        self._empty_fragments = 0
        # Of the current frame:
        self._frame_bytes = 0  # with its header
        self._is_control = False
        self._is_empty = False

    def enabled(self) -> bool:
        """Return True: wsproto calls only enabled extensions."""
        return True

    def offer(self) -> bool | str:
        """Return False: this extension is not offered in a handshake."""
        return False

    def frame_inbound_header(
        self,
        proto: FrameDecoder | FrameProtocol,
        opcode: Opcode,
        rsv: RsvBits,
        payload_length: int,
    ) -> CloseReason | RsvBits:
        """Check a frame by its header; return the reserved bits that it may have set."""
        extended = 0 if payload_length < 126 else 2 if payload_length < 65536 else 8
        self._frame_bytes = 2 + extended + 4 + payload_length
        self._is_control = opcode.iscontrol()
        if self._is_control:
            return RsvBits(False, False, False)
        first = opcode is not Opcode.CONTINUATION
        if first is self.in_message:
            return self._refuse(
                codes.PROTOCOL_ERROR,
                "a message begins inside another" if first else "a continuation of no message",
            )
        allowed = RsvBits(first and self._deflate, False, False)
        if (rsv.rsv1 and not allowed.rsv1) or rsv.rsv2 or rsv.rsv3:
            return allowed  # wsproto refuses it: a protocol error, whatever the opcode is
        if opcode is Opcode.BINARY:
            return self._refuse(codes.UNSUPPORTED_DATA, "a binary message; send text")
        if self.message_bytes + payload_length > self._max_bytes:
            return self._refuse_too_big()
        if first:
            self._compressed = rsv.rsv1
        self._is_empty = not payload_length
        return allowed

    def frame_inbound_payload_data(
        self,
        proto: FrameDecoder | FrameProtocol,
        data: bytes,
    ) -> bytes | CloseReason:
        """Collect the payload of a compressed message; return any other payload unchanged."""
        if self._is_control:
            return data
        self.message_bytes += len(data)
        if not self._compressed:
            return data
        self._compressed_data += data
        return b""

    def frame_inbound_complete(
        self,
        proto: FrameDecoder | FrameProtocol,
        fin: bool,
    ) -> bytes | CloseReason | None:
        """Count the frame; if it ends a compressed message, return the inflated payload."""
        self.consumed += self._frame_bytes
        if self._is_control:
            return None
        self.in_message = not fin
        if not fin:
            self._empty_fragments += self._is_empty
            if self._empty_fragments > EMPTY_FRAGMENTS_MAX_COUNT:
                return self._refuse(
                    codes.PROTOCOL_ERROR,
                    f"over {EMPTY_FRAGMENTS_MAX_COUNT} empty fragments; leave them out",
                )
            return None
        self.message_bytes = self._empty_fragments = 0
        if not self._compressed:
            return None
        self._compressed = False
        payload = bytes(self._compressed_data)
        self._compressed_data.clear()
        return self._inflate(payload)

    def _inflate(self, payload: bytes) -> bytes | CloseReason:
        """Inflate one message (RFC 7692 section 7.2.2), to at most one byte over the limit."""
        inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
        try:
            data = inflater.decompress(payload + _DEFLATE_TAIL, self._max_bytes + 1)
        except zlib.error:
            return self._refuse(codes.INVALID_PAYLOAD, "invalid compressed data")
        if len(data) > self._max_bytes:
            return self._refuse_too_big()
        # Section 7.2.3.4: after a final block senders append the header of an empty block, or not.
        if inflater.eof and inflater.unused_data not in (_DEFLATE_TAIL, b"\x00" + _DEFLATE_TAIL):
            return self._refuse(codes.INVALID_PAYLOAD, "invalid compressed data")
        return data

    def _refuse_too_big(self) -> CloseReason:
        return self._refuse(
            codes.MESSAGE_TOO_BIG, f"the message is over {self._max_bytes} bytes; send less"
        )

    def _refuse(self, code: int, reason: str) -> CloseReason:
        self.fault = FrameError(code, reason)
        return CloseReason(code)

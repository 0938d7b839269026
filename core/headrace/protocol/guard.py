"""What wsproto leaves to its user: limits, inflation, where a frame ends.

wsproto lets an extension see each frame's header before its payload, and the payload before it
is decoded; `Guard` is such an extension. wsproto's own permessage-deflate inflates without bound,
and a ping between two fragments of a compressed message corrupts its state, so it is not used.

wsproto calls `frame_inbound_header` again when a header came in pieces, so nothing is counted
there; `frame_inbound_complete` comes once for each frame.
"""

import zlib
from typing import Final

from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits

from headrace import codes
from headrace.errors import FrameError

_TAIL: Final = b"\x00\x00\xff\xff"
"""What the sender took from the end of a compressed message (RFC 7692 section 7.2.2)."""


class Guard(Extension):
    """Refuses what one connection may not send, and inflates its messages.

    `fault` holds the FrameError after a hook returned a CloseReason. `consumed` counts the bytes
    of whole frames, `in_message` says that a fragmented message is unfinished.
    """

    name = "headrace-guard"

    def __init__(self, *, deflate: bool, max_bytes: int) -> None:
        self.consumed = 0
        self.fault: FrameError | None = None
        self.in_message = False
        self._deflate = deflate
        self._max_bytes = max_bytes
        self._compressed = False  # the message
        self._control = False  # the frame
        self._frame_bytes = 0  # the frame with its header
        self._received = 0  # the message's payload
        self._parts: list[bytes] = []  # the compressed message

    def enabled(self) -> bool:
        """Answer wsproto that this extension takes part."""
        return True

    def offer(self) -> bool | str:
        """Answer wsproto that this extension is in no handshake."""
        return False

    def frame_inbound_header(
        self,
        proto: FrameDecoder | FrameProtocol,
        opcode: Opcode,
        rsv: RsvBits,
        payload_length: int,
    ) -> CloseReason | RsvBits:
        """Judge a frame by its header; the answer says which reserved bits it may have set."""
        extended = 0 if payload_length < 126 else 2 if payload_length < 65536 else 8
        self._frame_bytes = 2 + extended + 4 + payload_length
        self._control = opcode.iscontrol()
        if self._control:
            return RsvBits(False, False, False)
        first = opcode is not Opcode.CONTINUATION
        if first is self.in_message:
            return self._refuse(
                codes.PROTOCOL_ERROR,
                "a message begins inside another" if first else "a continuation of no message",
            )
        if opcode is Opcode.BINARY:
            return self._refuse(codes.UNSUPPORTED_DATA, "Headrace takes text")
        if self._received + payload_length > self._max_bytes:
            return self._too_big()
        if first:
            self._compressed = rsv.rsv1
        return RsvBits(first and self._deflate, False, False)

    def frame_inbound_payload_data(
        self,
        proto: FrameDecoder | FrameProtocol,
        data: bytes,
    ) -> bytes | CloseReason:
        """Keep a compressed message's bytes until it is whole; pass on all others."""
        if self._control:
            return data
        self._received += len(data)
        if not self._compressed:
            return data
        self._parts.append(data)
        return b""

    def frame_inbound_complete(
        self,
        proto: FrameDecoder | FrameProtocol,
        fin: bool,
    ) -> bytes | CloseReason | None:
        """Count the frame, and inflate the message that it ends."""
        self.consumed += self._frame_bytes
        if self._control:
            return None
        self.in_message = not fin
        if not fin:
            return None
        self._received = 0
        if not self._compressed:
            return None
        self._compressed = False
        payload = b"".join(self._parts)
        self._parts = []
        return self._inflate(payload)

    def _inflate(self, payload: bytes) -> bytes | CloseReason:
        """Inflate one message (RFC 7692 section 7.2.2), never to more than the limit and a byte."""
        inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
        try:
            data = inflater.decompress(payload + _TAIL, self._max_bytes + 1)
        except zlib.error:
            return self._refuse(codes.INVALID_PAYLOAD, "invalid compressed data")
        if len(data) > self._max_bytes:
            return self._too_big()
        # Section 7.2.3.4: a final block is followed by the header of an empty one.
        if inflater.eof and inflater.unused_data not in (_TAIL, b"\x00" + _TAIL):
            return self._refuse(codes.INVALID_PAYLOAD, "invalid compressed data")
        return data

    def _too_big(self) -> CloseReason:
        return self._refuse(
            codes.MESSAGE_TOO_BIG, f"the message is over {self._max_bytes} bytes; send less"
        )

    def _refuse(self, code: int, reason: str) -> CloseReason:
        self.fault = FrameError(code, reason)
        return CloseReason(code)

"""`POST /v1/send/batch`: one send per line, one result per line, in order, as a stream."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from headrace import limits
from headrace.api.body_stream import BodyStream, StreamedResponse, split_lines
from headrace.api.json_body import JSON_ERRORS, invalid_json
from headrace.api.openapi.operation import OperationDoc, ResponseDoc
from headrace.api.responses import REPORTED_ERRORS, problem
from headrace.api.router import Request, Route
from headrace.api.routes.send import send
from headrace.errors import TooLargeError
from headrace.messages.wire import SendRequest

NDJSON: Final = "application/x-ndjson"

_LINES_PER_TICK: Final = 128
"""Lines that are handled before the event loop delivers; far below `ring_max_messages`."""

_decoder = msgspec.json.Decoder(SendRequest)


async def send_batch(request: Request) -> StreamedResponse:
    """Send each line of the body as `POST /v1/send` does; an invalid line fails alone.

    The result of a failed line is its problem document, with the `line`'s number from 1 on.
    """
    body: BodyStream = request.body
    headers = (("content-type", NDJSON), ("cache-control", "no-store"))
    return StreamedResponse(200, headers, _results(request, body))


async def _results(request: Request, body: BodyStream) -> AsyncIterator[bytes]:
    """Yield the results of some lines at a time."""
    number = 0
    async for lines in split_lines(body, limits.BODY_MAX_BYTES):
        results = []
        for line in lines:
            number += 1
            if line is None or line.strip():  # an empty line has no result
                results.append(await _send_line(request, line, number))
            if number % _LINES_PER_TICK == 0:
                await asyncio.sleep(0)  # so that the rings are flushed before they are full
        yield b"".join(results)


async def _send_line(request: Request, line: bytes | None, number: int) -> bytes:
    try:
        if line is None:
            raise TooLargeError(f"the line is over {limits.BODY_MAX_BYTES} bytes")
        response = await send(msgspec.structs.replace(request, body=_decode_line(line)))
    except REPORTED_ERRORS as error:
        response = problem(error, line=number)
    return response.body + b"\n"


def _decode_line(line: bytes) -> SendRequest:
    try:
        return _decoder.decode(line)
    except JSON_ERRORS as error:
        raise invalid_json(error, "line") from None


_DOC = OperationDoc(
    (
        ResponseDoc(
            200,
            "One line for each non-empty line, in order, while the request is still coming: a"
            " `SendResponse`, or a `Problem` with the `line`'s number from 1 on.",
            media=NDJSON,
        ),
    ),
    text=f"""
        A body of any length, in newline-delimited JSON: each line is a `SendRequest` of at most
        {limits.BODY_MAX_BYTES} bytes. An invalid line fails alone. The content type may also
        be `application/jsonl`. If the body is cut short, so is the response.
        """,
    example='{"to":"alice","data":"one"}\n{"group":"lobby","data":"two"}\n',
)

ROUTES = (
    Route("POST", "/v1/send/batch", send_batch, access="application", stream_body=True, doc=_DOC),
)

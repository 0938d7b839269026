"""`POST /v1/send/batch`: a send a line, an answer a line, in order, while lines still come."""

import asyncio
from collections.abc import AsyncIterator

import msgspec

from headrace import limits
from headrace.api.answers import problem
from headrace.api.describe import Doc, Reply
from headrace.api.routing import Access, Call, Route
from headrace.api.send import SendRequest, send_one
from headrace.api.streaming import BodyStream, StreamedAnswer, lines_of
from headrace.errors import RequestError

NDJSON = "application/x-ndjson"

_decode = msgspec.json.Decoder(SendRequest).decode
_to_json = msgspec.json.Encoder().encode


async def send_batch(call: Call) -> StreamedAnswer:
    """Answer each line as `POST /v1/send` would; a line that is no send fails alone.

    A failed line's answer is its problem document, with the `line`'s number from 1 on.
    """
    body: BodyStream = call.body
    headers = (("content-type", NDJSON), ("cache-control", "no-store"))
    return StreamedAnswer(200, headers, _answers(call, body))


async def _answers(call: Call, body: BodyStream) -> AsyncIterator[bytes]:
    """Yield the answers of some lines at a time, and let the loop deliver in between."""
    number = 0
    async for lines in lines_of(body, limits.BODY_MAX_BYTES):
        answers = []
        for line in lines:
            number += 1
            if line is None or line.strip():  # an empty line is nothing to answer
                answers.append(await _answer(call, line, number))
            if number % limits.BATCH_LINES_PER_TICK == 0:
                await asyncio.sleep(0)  # so that the rings are flushed before they are full
        yield b"".join(answers)


async def _answer(call: Call, line: bytes | None, number: int) -> bytes:
    try:
        if line is None:
            raise RequestError(413, f"the line is over {limits.BODY_MAX_BYTES} bytes")
        try:
            asked = _decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RequestError(400, f"the line does not fit: {error}") from None
        except RecursionError:
            raise RequestError(400, "the line is nested too deeply") from None
        answer = _to_json(await send_one(call.node, asked))
    except RequestError as error:
        answer = problem(error, line=number).body
    return answer + b"\n"


_DOC = Doc(
    (
        Reply(
            200,
            "A line for each line that was not empty, in order, while lines still come: a"
            " `SendAnswer`, or a `Problem` with the `line`'s number from 1 on.",
            media=NDJSON,
        ),
    ),
    text=f"""
        A body of any length, in newline-delimited JSON: each line is a `SendRequest` of at most
        {limits.BODY_MAX_BYTES} bytes. A line that is none fails alone. The content type may also
        be `application/jsonl`. If the body is cut short, so is the answer.
        """,
    example='{"to":"alice","data":"one"}\n{"group":"lobby","data":"two"}\n',
)

ROUTES = (Route("POST", "/v1/send/batch", Access.APPLICATION, send_batch, streams=True, doc=_DOC),)

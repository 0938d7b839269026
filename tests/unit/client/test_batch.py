"""headrace.client.batch: batches of both clients."""

import json
from collections.abc import AsyncIterator, Iterator

import pytest
from aiohttp import web
from tests.unit.client.conftest import KEY, Caller, FakeServer, batch_response, json_response

from headrace.client import (
    AsyncClient,
    InputError,
    RequestError,
    Send,
    Sent,
    UnreachableError,
    batch,
)


async def test_results_are_in_order_and_a_bad_send_fails_alone(
    server: FakeServer, call: Caller
) -> None:
    server.responses = [batch_response]
    results = await call.send_batch(
        [
            Send(data="1-0", to="alice"),
            Send(data="bad", group="lobby"),
            Send(data="\ud800", everyone=True),
            Send(data="2-0", to=["alice", "bob"], idempotency_key="k"),
        ]
    )
    first, second, third, fourth = results
    assert (first, fourth) == (Sent("1-0", 1), Sent("2-0", 1))
    assert isinstance(second, RequestError)
    assert (second.status, second.detail) == (400, "bad is bad")
    assert isinstance(third, InputError)
    assert "surrogate" in str(third)
    method, path, body = server.requests[0]
    assert (method, path) == ("POST", "/base/v1/send/batch")
    assert server.headers[0]["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in body.splitlines()]
    assert len({line.pop("idempotency_key") for line in lines}) == 3
    assert lines == [
        {"data": "1-0", "to": "alice"},
        {"data": "bad", "group": "lobby"},
        {"data": "2-0", "to": ["alice", "bob"]},
    ]


async def test_many_sends_are_split(
    server: FakeServer, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "BATCH_MAX_SENDS", 3)
    server.responses = [batch_response, None, batch_response, batch_response]
    sends = [Send(data=str(number), to="alice") for number in range(8)]
    assert await call.send_batch(iter(sends)) == [Sent(str(number), 1) for number in range(8)]
    assert [body.count(b"\n") for _, _, body in server.requests] == [3, 3, 3, 2]
    assert server.requests[1] == server.requests[2]  # the retry of the part without a response


async def test_large_sends_are_split(server: FakeServer, call: Caller) -> None:
    server.responses = [batch_response, batch_response]
    data = "x" * 32_768
    sends = (Send(data=data, to="alice") for _ in range(9))
    assert await call.send_batch(sends) == [Sent(data, 1)] * 9
    assert [body.count(b"\n") for _, _, body in server.requests] == [8, 1]


async def test_an_empty_batch_makes_no_request(server: FakeServer, call: Caller) -> None:
    assert await call.send_batch([]) == []
    (result,) = await call.send_batch([Send(data="\ud800", to="alice")])
    assert isinstance(result, InputError)
    assert server.requests == []


async def test_an_error_response(server: FakeServer, call: Caller) -> None:
    server.responses = [json_response({"detail": "no key"}, 401)]
    with pytest.raises(RequestError, match="no key"):
        await call.send_batch([Send(data="1", to="alice")])


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ('{"id":"1-0","sessions":0}\n', "a batch of 2 sends has 1 lines"),
        ("<html>\n<body>\n", "not from a Headrace server"),
        ('{"id":"1-0","sessions":0}\n{}\n', "not from a Headrace server"),
    ],
)
async def test_a_malformed_response(server: FakeServer, call: Caller, body: str, text: str) -> None:
    server.responses = [web.Response(text=body)]
    with pytest.raises(UnreachableError, match=text):
        await call.send_batch([Send(data="1", to="alice"), Send(data="2", to="alice")])


async def test_data_that_is_not_a_string(server: FakeServer, call: Caller) -> None:
    def sends() -> Iterator[Send]:
        yield Send(data=[1], to="alice")  # type: ignore[arg-type]  # the error under test

    with pytest.raises(TypeError, match=r"send json\.dumps\(data\)"):
        await call.send_batch(sends())
    assert server.requests == []


async def test_sends_from_an_asynchronous_iterator(server: FakeServer) -> None:
    async def sends() -> AsyncIterator[Send]:
        yield Send(data="1", to="alice")
        yield Send(data="2", to="alice")

    server.responses = [batch_response]
    async with AsyncClient(server.url, KEY) as client:
        results = [result async for result in client.send_batch(sends())]
    assert results == [Sent("1", 1), Sent("2", 1)]


async def test_results_are_yielded_after_each_part(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "BATCH_MAX_SENDS", 2)
    server.responses = [batch_response] * 3
    consumed = 0

    def sends() -> Iterator[Send]:
        nonlocal consumed
        for consumed in range(1, 7):
            yield Send(data=str(consumed), to="alice")

    async with AsyncClient(server.url, KEY) as client:
        counts = [consumed async for _ in client.send_batch(sends())]
    assert counts == [2, 2, 4, 4, 6, 6]

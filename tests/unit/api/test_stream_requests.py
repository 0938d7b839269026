"""api/stream_requests.py: what the requests for streams ask for."""

import pytest
from tests.helpers.hosts import hub_for_host
from tests.helpers.site import mint

from headrace.api.context import ApiContext
from headrace.api.stream_requests import (
    read_event_stream_request,
    read_websocket_request,
    retry_field,
)
from headrace.errors import InputError, InvalidTokenError
from headrace.messages.message import Encoding
from headrace.messages.position import Position
from headrace.protocol.http.events import RequestHead


def head_of(query: str, *headers: tuple[str, str]) -> RequestHead:
    return RequestHead.from_headers("GET", f"/x?{query}", "/x", query, headers)


@pytest.fixture
def context() -> ApiContext:
    return ApiContext(hub_for_host())


def test_websocket_of_a_v1_client(context: ApiContext) -> None:
    offered = ("sec-websocket-protocol", f"headrace.v1, headrace.token.{mint()}")
    request = read_websocket_request(context, head_of("last_id=5-1&since=4-0", offered))
    assert (request.encoding, request.last_id, request.since) == (
        Encoding.V1,
        Position(5, 1),
        Position(4, 0),
    )
    assert request.claims is not None
    assert request.claims.sub == "alice"


def test_token_fault_of_a_v1_client_is_returned_and_of_others_raised(context: ApiContext) -> None:
    request = read_websocket_request(
        context, head_of("", ("sec-websocket-protocol", "headrace.v1"))
    )
    assert request.claims is None
    assert isinstance(request.fault, InvalidTokenError)
    for read in (read_websocket_request, read_event_stream_request):
        with pytest.raises(InvalidTokenError):
            read(context, head_of("token=x"))


def test_bare_websocket(context: ApiContext) -> None:
    request = read_websocket_request(context, head_of(f"token={mint()}"))
    assert (request.encoding, request.last_id, request.fault) == (Encoding.BARE, None, None)


def test_last_event_id_takes_precedence(context: ApiContext) -> None:
    head = head_of(f"token={mint()}&last_id=1-0", ("last-event-id", "2-0"))
    request = read_event_stream_request(context, head)
    assert (request.encoding, request.last_id) == (Encoding.SSE, Position(2, 0))


def test_malformed_ids_are_refused(context: ApiContext) -> None:
    for query in ("last_id=x", "since=x"):
        for read in (read_websocket_request, read_event_stream_request):
            with pytest.raises(InputError):
                read(context, head_of(f"token={mint()}&{query}"))
    with pytest.raises(InputError):
        read_event_stream_request(context, head_of(f"token={mint()}", ("last-event-id", "x")))


def test_retry_is_one_to_five_seconds() -> None:
    fields = {retry_field() for _ in range(200)}
    assert len(fields) > 1
    assert all(1000 <= int(field.removeprefix(b"retry: ")) <= 5000 for field in fields)

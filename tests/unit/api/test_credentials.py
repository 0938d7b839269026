"""api/credentials.py: where a request's token, API key and ids are."""

import pytest
from tests.helpers.fakes import UNIX_S
from tests.helpers.fakes_asyncio import API_KEY, SECRET, new_api, request_head

from headrace.api.credentials import (
    bearer_token,
    check_api_key,
    find_token,
    position_param,
    query_param,
    verify_client,
)
from headrace.auth.tokens import TokenSigner
from headrace.errors import ExpiredTokenError, InputError, InvalidTokenError, RequestError
from headrace.messages.position import Position
from headrace.protocol.http.events import RequestHead


def head_with(
    authorization: str | None = None, *, target: str = "/", protocol: str = ""
) -> RequestHead:
    headers = {} if authorization is None else {"authorization": authorization}
    if protocol:
        headers["sec-websocket-protocol"] = protocol
    return request_head(target=target, headers=headers)


# --- tokens ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("authorization", "token"),
    [
        (None, None),
        ("", None),
        ("Bearer abc", "abc"),
        ("bEARER   abc ", "abc"),
        ("Bearer", ""),
        ("Basic abc", None),
        ("Bearerabc", None),
    ],
)
def test_bearer_credentials(authorization: str | None, token: str | None) -> None:
    assert bearer_token(head_with(authorization)) == token


def test_the_first_place_with_a_token_counts() -> None:
    protocol, header, query = "headrace.v1, headrace.token.a", "Bearer b", "/v1/poll?token=c"
    assert find_token(head_with(header, target=query, protocol=protocol)) == "a"
    assert find_token(head_with(header, target=query, protocol="headrace.v1")) == "b"
    assert find_token(head_with("Basic x", target=query)) == "c"
    assert find_token(head_with(target="/v1/poll?token=")) == ""
    assert find_token(head_with()) == ""


def test_verify_client_returns_the_claims() -> None:
    context = new_api()
    token = context.hub.signer.mint("ada", now=UNIX_S).token
    assert verify_client(context, head_with(f"Bearer {token}")).sub == "ada"


def test_verify_client_without_a_valid_token() -> None:
    context = new_api()
    with pytest.raises(InvalidTokenError, match="there is no token"):
        verify_client(context, head_with())
    with pytest.raises(InvalidTokenError):
        verify_client(context, head_with("Bearer x.y.z"))
    expired = TokenSigner([SECRET.encode()]).mint("ada", now=UNIX_S - 7200).token
    with pytest.raises(ExpiredTokenError):
        verify_client(context, head_with(f"Bearer {expired}"))


# --- the query -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("a=1&b=2", "1"),
        ("b=2&a=1&a=3", "1"),
        ("a=", ""),
        ("a", ""),
        ("a=%C3%A9+%2B", "é +"),
        ("b=a", None),
        ("", None),
        ("ba=1", None),
    ],
)
def test_a_query_parameter(query: str, value: str | None) -> None:
    assert query_param(head_with(target=f"/?{query}"), "a") == value


def test_an_id_in_the_query() -> None:
    assert position_param(head_with(target="/?last_id=5-7"), "last_id") == Position(5, 7)
    assert position_param(head_with(target="/?last_id="), "last_id") is None
    assert position_param(head_with(target="/?since=5-7"), "last_id") is None
    with pytest.raises(InputError, match="is not an id"):
        position_param(head_with(target="/?last_id=5"), "last_id")


# --- the API key -----------------------------------------------------------------------------


@pytest.mark.parametrize("authorization", [f"Bearer {API_KEY}", f"bearer  {API_KEY} "])
def test_the_api_key_is_accepted(authorization: str) -> None:
    check_api_key(new_api(), head_with(authorization))


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", f"Basic {API_KEY}", f"Bearer {API_KEY}x", "Bearer \xe9"],
)
@pytest.mark.parametrize("api_key", [API_KEY, None])
def test_a_missing_or_wrong_api_key(authorization: str | None, api_key: str | None) -> None:
    context = new_api(api_key=api_key)
    with pytest.raises(RequestError, match="this route is for the application") as caught:
        check_api_key(context, head_with(authorization))
    assert caught.value.status == 401
    assert caught.value.headers == (("www-authenticate", "Bearer"),)


def test_without_an_api_key_no_request_is_accepted() -> None:
    with pytest.raises(RequestError):
        check_api_key(new_api(api_key=None), head_with(f"Bearer {API_KEY}"))

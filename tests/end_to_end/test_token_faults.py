"""Invalid and expired tokens: 401 over HTTP, a close code for a `headrace.v1` client; renewal."""

import json
import time
from collections.abc import Callable
from itertools import pairwise

import jwt
import pytest
from tests.end_to_end.conftest import Serve
from tests.helpers.site import SECRET, Site, mint, opened, recv
from websockets.exceptions import ConnectionClosed, InvalidStatus

FAULTS: dict[str, tuple[Callable[[], str], int, str]] = {
    "no token": (lambda: "", 4001, "Invalid+token."),
    "not a JWT": (lambda: "nonsense", 4001, "Invalid+token."),
    "another secret": (lambda: mint(secret="o" * 32), 4001, "Invalid+token."),
    "another algorithm": (
        lambda: jwt.encode({"sub": "a", "exp": time.time() + 60}, SECRET * 2, "HS512"),
        4001,
        "Invalid+token.",
    ),
    "alg none": (
        lambda: jwt.encode({"sub": "a", "exp": time.time() + 60}, "", "none"),
        4001,
        "Invalid+token.",
    ),
    "lifetime too long": (lambda: mint(exp=time.time() + 2 * 86400), 4001, "Invalid+token."),
    "not yet valid": (lambda: mint(nbf=time.time() + 60), 4001, "Invalid+token."),
    "expired": (lambda: mint(exp=time.time() - 1), 4002, "Token+timed+out."),
}


@pytest.fixture(params=FAULTS)
def fault(request: pytest.FixtureRequest) -> tuple[str, int, str]:
    make, code, description = FAULTS[request.param]
    return make(), code, description


async def test_fault_without_the_subprotocol_is_a_401(
    site: Site, fault: tuple[str, int, str]
) -> None:
    token, code, description = fault
    with pytest.raises(InvalidStatus) as caught:
        await site.connect_bare(token)
    response = caught.value.response
    assert response.status_code == 401
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["WWW-Authenticate"].startswith("Bearer ")
    assert response.body is not None
    problem = json.loads(response.body)
    reason = problem.pop("reason")
    assert problem == {
        "type": "about:blank",
        "title": "Unauthorized",
        "status": 401,
        "detail": description,
        "code": code,
    }
    assert f'error_description="{reason}"' in response.headers["WWW-Authenticate"]
    assert not token or token not in repr(response)


async def test_fault_with_the_subprotocol_is_a_close_code(
    site: Site, fault: tuple[str, int, str]
) -> None:
    token, code, _ = fault
    async with site.connect(token) as client:
        assert client.subprotocol == "headrace.v1"
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == code
    assert (await site.stats())["sessions"] == 0


async def test_expiry_closes_the_connection(serve: Serve) -> None:
    site = await serve()
    exp = int(time.time()) + 2
    async with site.connect(jwt.encode({"sub": "alice", "exp": exp}, SECRET)) as client:
        await opened(client)
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert exp <= time.time() < exp + 2
        assert client.close_code == 4002
    async with site.connect(mint(exp=exp)) as client:
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 4002


async def test_renewal_extends_the_session(site: Site) -> None:
    exp = time.time() + 0.5
    async with site.connect(mint(exp=exp)) as client:
        await opened(client)
        await client.send(json.dumps({"type": "renew", "token": mint(exp=exp + 0.7)}))
        assert (await recv(client))["expires_at"] == exp + 0.7
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert time.time() >= exp + 0.7
        assert client.close_code == 4002


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (json.dumps({"type": "renew", "token": mint("bob")}), 403),
        (json.dumps({"type": "renew", "token": mint(secret="o" * 32)}), 4001),
        (json.dumps({"type": "renew", "token": mint(exp=time.time() - 1)}), 4002),
        (json.dumps({"type": "renew"}), 4001),
        (json.dumps({"type": "unknown"}), 400),
        (json.dumps({"type": "\ud800"}), 400),
        (json.dumps({"type": "renew", "token": "\ud800"}), 400),
        (json.dumps(["renew"]), 400),
        ("", 400),
        ('{"type": "renew", "x": ' + "[" * 100_000 + "]" * 100_000 + "}", 400),
    ],
    ids=[
        "of another client",
        "of another secret",
        "expired",
        "missing",
        "another type",
        "lone surrogate",
        "token with a lone surrogate",
        "not an object",
        "not JSON",
        "nested too deeply",
    ],
)
async def test_failed_renewal_changes_nothing(site: Site, frame: str, code: int) -> None:
    async with site.connect(await site.channel()) as client:
        await opened(client)
        await client.send(frame)
        error = await recv(client)
        assert list(error) == ["type", "code", "detail"]
        assert (error["type"], error["code"]) == ("error", code)
        await site.send("still here")
        assert (await recv(client))["data"] == "still here"


async def test_several_secrets(serve: Serve) -> None:
    new, old = "n" * 32, "o" * 32
    site = await serve(secrets=(new, old))
    for token in (mint(secret=new), mint(secret=old), await site.channel()):
        async with site.connect(token) as client:
            await opened(client)
    jwt.decode(await site.channel(), new, ["HS256"])


async def test_tokens_of_another_library(
    site: Site,
) -> None:
    now = time.time()
    for iat, exp in pairwise([now - 86000, now + 300, now + 400]):
        async with site.connect(mint(iat=iat, exp=exp)) as client:
            await opened(client)

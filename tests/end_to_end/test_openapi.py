"""`/openapi.json` describes the server correctly; `/readyz`.

schemathesis generates requests from the document and compares the responses with it. To run more
examples than the default:

    OPENAPI_EXAMPLES=500 OPENAPI_SEED=7 pytest tests/end_to_end/test_openapi.py -k schemathesis
"""

import asyncio
import itertools
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp.web
import msgspec
import pytest
from tests.end_to_end.conftest import Serve
from tests.end_to_end.test_errors import UPGRADE, check_problem
from tests.helpers.constants import set_server_constant
from tests.helpers.site import API_KEY, SECRET, Site, mint
from tests.helpers.wire import wire

from headrace import limits
from headrace.hub.lifecycle import LifeState
from headrace.messages.wire import Problem, TokenProblem
from headrace.server.connections.http_protocol import HttpProtocol


class StrictProblem(Problem, frozen=True, forbid_unknown_fields=True):
    pass


class StrictTokenProblem(TokenProblem, frozen=True, forbid_unknown_fields=True):
    pass


async def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until the condition is true."""
    while not condition():  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0)


def is_in_request(connection: object) -> bool:
    """Return True if a part of a request has arrived."""
    return isinstance(connection, HttpProtocol) and connection._http.in_request


async def test_readyz_is_open(site: Site) -> None:
    async with wire(site.port) as client:
        response = await client.fetch("GET", "/readyz")
    assert response.status == 200
    assert response.json() == {"status": "ready"}


async def test_draining_server_is_alive_but_not_ready(serve: Serve) -> None:
    site = await serve()
    async with wire(site.port) as prober, wire(site.port) as other, asyncio.TaskGroup() as group:
        # Requests that have begun are answered, so the drain does not close these connections.
        await prober.write(b"GET /readyz HTTP/1.1\r\n")
        await other.write(b"GET /healthz HTTP/1.1\r\n")
        await wait_until(lambda: sum(map(is_in_request, site.context.connections)) == 2)
        group.create_task(site.server.stop())
        await wait_until(lambda: site.server.hub.life.state is LifeState.DRAINING)
        await prober.write(b"Host: headrace.test\r\n\r\n")
        response = await prober.read_response()
        check_problem(response, 503)
        assert response.headers["retry-after"] == "5"
        assert response.headers["connection"] == "close"
        await other.write(b"Host: headrace.test\r\n\r\n")
        assert (await other.read_response()).json() == {"status": "ok"}
        prober.close()  # otherwise the server would wait for it
        other.close()


# Values of the parameters in the paths.
PATHS = {"{client_id}": "alice", "{group}": "lobby"}


def faulty_request(method: str, path: str, token: str, status: int) -> bytes:
    """Return a request to an operation that must be answered with `status`."""
    first, version, query = method, "1.1", "?group=lobby"
    lines = ["Host: headrace.test", f"Authorization: Bearer {token}"]
    content = b'{"data":"x"}' if method == "POST" else b""
    if status == 409:
        content = b'{"to":"alice","data":"x","idempotency_key":"used"}'
    body = [f"Content-Length: {len(content)}"] if content else []
    if path == "/v1/connect" and status != 426:
        lines += UPGRADE
    match status:
        case 400:
            lines.append("Host: another.test")
        case 401:
            del lines[1]
        case 403:
            lines.append("Origin: https://evil.test")
        case 404:
            path += "/more"
        case 405:
            first = "BREW"
        case 408:
            return f"{method} {path} HTTP/1.1\r\n".encode()
        case 411:
            body = []
        case 413:
            body = [f"Content-Length: {limits.BODY_MAX_BYTES + 1}"]
        case 414:
            query = "?" + "x" * limits.TARGET_MAX_BYTES
        case 415:
            lines.append("Content-Type: text/plain")
        case 417:
            lines.append("Expect: more")
        case 431:
            lines.append("X: " + "x" * limits.HEAD_MAX_BYTES)
        case 501:
            body = ["Transfer-Encoding: gzip"]
        case 505:
            version = "2.0"
    head = [f"{first} {path}{query} HTTP/{version}", *lines, *body, "", ""]
    return "\r\n".join(head).encode() + content


async def test_documented_errors(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    set_server_constant(monkeypatch, "HEADER_TIMEOUT_S", 0.5)
    monkeypatch.setattr("headrace.api.client_messages.MESSAGES_BURST", 1)
    monkeypatch.setattr("headrace.api.client_messages.MESSAGES_PER_S", 0.001)
    site = await serve()
    async with wire(site.port) as client:
        document = (await client.fetch("GET", "/openapi.json")).json()
    responses = document["components"]["responses"]
    alice = mint(send=["*"])
    status, _, _ = await site.post("/v1/messages", {"data": "x"}, key=alice)  # uses up the burst
    assert status == 403
    await site.send("another message", to="alice", idempotency_key="used")

    async def check(method: str, path: str, tag: str, status: int, name: str) -> None:
        for placeholder, value in PATHS.items():
            path = path.replace(placeholder, value)
        async with wire(site.port) as client:
            token = alice if tag == "client" else API_KEY
            await client.write(faulty_request(method, path, token, status))
            response = await client.read_response()
        assert response.status == status, f"{method} {path}"
        kind = StrictTokenProblem if name == "TokenFault" else StrictProblem
        assert msgspec.json.decode(response.body, type=kind).status == status
        documented = {header.lower() for header in responses[name].get("headers", {})}
        assert documented <= set(response.headers)

    cases: dict[str, list[tuple[str, str, str, int, str]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for code, response in operation["responses"].items():
                if int(code) < 400 or (path == "/v1/poll" and code in ("409", "429")):
                    continue  # those two need several polls: they have tests of their own
                name = response["$ref"].rpartition("/")[2]
                case = (method.upper(), path, operation["tags"][0], int(code), name)
                cases.setdefault(name, []).append(case)
    assert set(cases) == set(responses)
    timeouts, unavailable = cases.pop("408"), cases.pop("503")
    for case in itertools.chain(*cases.values()):
        await check(*case)
    await asyncio.gather(*[check(*case) for case in timeouts])
    await site.server.hub.drain()
    for case in unavailable:
        if case[2] in ("client", "application") or case[1] == "/readyz":
            await check(*case)  # the other routes respond as usual while the server drains


async def test_whole_number_of_minutes_as_a_float(site: Site) -> None:
    """In JSON Schema, 60.0 is an integer."""
    for minutes, status in [("60.0", 200), ("6e1", 200), ("60", 200), ("60.5", 400)]:
        body = f'{{"client_id": "alice", "duration_minutes": {minutes}}}'.encode()
        async with wire(site.port) as client:
            headers = [f"Authorization: Bearer {API_KEY}", "Content-Type: application/json"]
            response = await client.fetch("POST", "/v1/channels", *headers, body=body)
        assert response.status == status
        if status == 200:
            left_s = response.json()["expires_at"] - time.time()
            assert 3500 < left_s <= 3601
        else:
            assert "60.5" in check_problem(response, 400)


async def test_malformed_last_id_is_refused_despite_a_valid_header(site: Site) -> None:
    async with wire(site.port) as client:
        token = f"Authorization: Bearer {mint()}"
        response = await client.fetch("GET", "/v1/events?last_id=x", token, "Last-Event-ID: 1-0")
    assert "'x' is not an id" in check_problem(response, 400)


EXAMPLES = int(os.environ.get("OPENAPI_EXAMPLES", "10"))

# Long polls should not slow down the test.
SERVE = """
from headrace.api.routes import poll

poll.POLL_WAIT_S = 0.02
from headrace.cli import main
main()
"""

CONFIGURATION = f"""
hooks = "{Path(__file__).parents[1] / "helpers" / "openapi_hooks.py"}"
cache.enabled = false

[auth.openapi]
applicationKey.bearer = "{API_KEY}"
clientToken.bearer = "{{token}}"

[checks]
negative_data_rejection.expected-statuses = [400, 401, 403, 404, 411, 413, 414, 415, 431]
positive_data_acceptance.expected-statuses = ["2xx", 304, 409, 429]

[warnings]
fail-on = true

# An event stream does not end; one event is enough.
[[operations]]
include-path = "/v1/events"
max-stream-events = 1

# schemathesis has no WebSocket, so each request lacks the handshake.
[[operations]]
include-path = "/v1/connect"
checks.positive_data_acceptance.expected-statuses = [426]
checks.negative_data_rejection.expected-statuses = [401, 426]
warnings = false

# The server reads a token in the query only if no header has one, so it may ignore a wrong one.
[[operations]]
include-tag = "client"
generation.with-security-parameters = false

# Any text is a valid batch whose lines may all fail.
[[operations]]
include-path = "/v1/send/batch"
checks.negative_data_rejection.enabled = false
"""


@asynccontextmanager
async def application() -> AsyncIterator[str]:
    """Run an application that accepts everything; yield its URL."""

    async def accept(_request: aiohttp.web.Request) -> aiohttp.web.Response:
        return aiohttp.web.Response(status=204)

    app = aiohttp.web.Application()
    app.router.add_post("/_ah/channel/{kind}/", accept)
    runner = aiohttp.web.AppRunner(app)
    await runner.setup()
    try:
        await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def server_process(app_url: str) -> AsyncIterator[str]:
    """Run a server in another process, which must log nothing; yield its URL."""
    environ = {name: value for name, value in os.environ.items() if "HEADRACE" not in name}
    environ |= {"HEADRACE_SECRET": SECRET, "HEADRACE_API_KEY": API_KEY, "HEADRACE_PORT": "0"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVE, "serve", "--app-url", app_url,
        env=environ, stdout=PIPE, stderr=PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().removeprefix("Listening on ").strip()
    finally:
        process.send_signal(signal.SIGTERM)
        _, stderr = await process.communicate()
    assert (process.returncode, stderr.decode()) == (0, "")


@pytest.mark.timeout(60 + 2 * EXAMPLES)
@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_schemathesis(tmp_path: Path) -> None:
    configuration = tmp_path / "schemathesis.toml"
    token = mint("listener", send=["group:*"])
    configuration.write_text(CONFIGURATION.replace("{token}", token))
    async with application() as app_url, server_process(app_url) as url:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "schemathesis.cli", "--config-file", configuration,
            "run", f"{url}/openapi.json", "--no-color", "--continue-on-failure",
            "--generation-database", "none",
            "--max-examples", str(EXAMPLES),
            "--seed", os.environ.get("OPENAPI_SEED", "1"),
            cwd=tmp_path, stdout=PIPE, stderr=STDOUT,
        )  # fmt: skip
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()

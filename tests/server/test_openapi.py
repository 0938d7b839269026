"""`/openapi.json`, and that the server does what it says; `/readyz`, which came with it.

schemathesis makes requests out of the document and compares the answers with it. By hand it can
be asked for more of them than the tests have time for:

    OPENAPI_EXAMPLES=500 OPENAPI_SEED=7 pytest tests/server/test_openapi.py -k schemathesis
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
from tests.server.conftest import Serve
from tests.server.kit import API_KEY, SECRET, Site, mint
from tests.server.test_errors import UPGRADE, check_problem
from tests.server.wire import wire

from headrace import limits
from headrace.api.openapi import Problem, TokenProblem
from headrace.server.connection import Connection
from headrace.server.http import HttpProtocol


class StrictProblem(Problem, frozen=True, forbid_unknown_fields=True):
    pass


class StrictTokenProblem(TokenProblem, frozen=True, forbid_unknown_fields=True):
    pass


async def until(true: Callable[[], bool]) -> None:
    """Let the server have its turns until something is so."""
    while not true():  # noqa: ASYNC110 - the server tells nobody of what is waited for
        await asyncio.sleep(0)


def begun(connection: Connection) -> bool:
    """Whether some of a request has arrived, and not all."""
    return isinstance(connection, HttpProtocol) and connection._http.in_request


async def test_readyz_is_open(site: Site) -> None:
    async with wire(site.port) as client:
        reply = await client.ask("GET", "/readyz")
    assert reply.status == 200
    assert reply.json() == {"status": "ready"}


async def test_a_server_that_goes_is_alive_but_not_ready(serve: Serve) -> None:
    site = await serve()
    async with wire(site.port) as prober, wire(site.port) as other, asyncio.TaskGroup() as group:
        # What has begun is answered, so these two outlive the draining's beginning.
        await prober.write(b"GET /readyz HTTP/1.1\r\n")
        await other.write(b"GET /healthz HTTP/1.1\r\n")
        await until(lambda: sum(map(begun, site.server.connections)) == 2)
        group.create_task(site.server.stop())
        await until(lambda: site.server.draining)
        await prober.write(b"Host: headrace.test\r\n\r\n")
        reply = await prober.reply()
        check_problem(reply, 503)
        assert reply.headers["retry-after"] == str(limits.RETRY_AFTER_S)
        assert reply.headers["connection"] == "close"
        await other.write(b"Host: headrace.test\r\n\r\n")
        assert (await other.reply()).json() == {"status": "ok"}
        prober.close()  # or the server would wait for it
        other.close()


# Whatever can be in a path or a body of the document's own examples.
PATHS = {"{client_id}": "alice", "{group}": "lobby"}


def fault(method: str, path: str, token: str, status: int) -> bytes:
    """A request to an operation that is to be answered with `status`."""
    first, version, query = method, "1.1", "?group=lobby"
    lines = ["Host: headrace.test", f"Authorization: Bearer {token}"]
    content = b'{"data":"x"}' if method == "POST" else b""
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


async def test_each_documented_error_is_answered_as_documented(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HEADER_TIMEOUT_S", 0.5)
    monkeypatch.setattr(limits, "CLIENT_MESSAGES_BURST", 1)
    monkeypatch.setattr(limits, "CLIENT_MESSAGES_PER_S", 0.001)
    site = await serve()
    async with wire(site.port) as client:
        document = (await client.ask("GET", "/openapi.json")).json()
    answers = document["components"]["responses"]
    alice = mint(send=["*"])
    assert (await site.post("/v1/messages", {"data": "x"}, key=alice))[0] == 403  # the burst

    async def check(method: str, path: str, tag: str, status: int, name: str) -> None:
        for placeholder, value in PATHS.items():
            path = path.replace(placeholder, value)
        async with wire(site.port) as client:
            token = alice if tag == "client" else API_KEY
            await client.write(fault(method, path, token, status))
            reply = await client.reply()
        assert reply.status == status, f"{method} {path}"
        kind = StrictTokenProblem if name == "TokenFault" else StrictProblem
        assert msgspec.json.decode(reply.body, type=kind).status == status
        assert {each.lower() for each in answers[name].get("headers", {})} <= set(reply.headers)

    found: dict[str, list[tuple[str, str, str, int, str]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for status, answer in operation["responses"].items():
                if int(status) < 400:
                    continue
                name = answer["$ref"].rpartition("/")[2]
                asked = (method.upper(), path, operation["tags"][0], int(status), name)
                found.setdefault(name, []).append(asked)
    assert set(found) == set(answers)
    slow, last = found.pop("408"), found.pop("503")
    for asked in itertools.chain(*found.values()):
        await check(*asked)
    await asyncio.gather(*[check(*asked) for asked in slow])
    site.server.draining = True
    for asked in last:
        await check(*asked)


async def test_a_whole_number_of_minutes_may_be_written_as_a_float(site: Site) -> None:
    """To JSON Schema 60.0 is an integer."""
    for minutes, status in [("60.0", 200), ("6e1", 200), ("60", 200), ("60.5", 400)]:
        body = f'{{"client_id": "alice", "duration_minutes": {minutes}}}'.encode()
        async with wire(site.port) as client:
            headers = [f"Authorization: Bearer {API_KEY}", "Content-Type: application/json"]
            reply = await client.ask("POST", "/v1/channels", *headers, body=body)
        assert reply.status == status
        if status == 200:
            left_s = reply.json()["expires_at"] - time.time()
            assert 3500 < left_s <= 3601
        else:
            assert "60.5" in check_problem(reply, 400)


async def test_a_bad_last_id_is_refused_beside_a_good_header(site: Site) -> None:
    async with wire(site.port) as client:
        token = f"Authorization: Bearer {mint()}"
        reply = await client.ask("GET", "/v1/events?last_id=x", token, "Last-Event-ID: 1-0")
    assert "'x' is not an id" in check_problem(reply, 400)


EXAMPLES = int(os.environ.get("OPENAPI_EXAMPLES", "10"))

# A long poll waits by design; here not for long.
SERVE = """
from headrace import limits
from headrace.api.openapi import Problem, TokenProblem
limits.POLL_WAIT_S = 0.02
from headrace.cli import main
main()
"""

CONFIGURATION = f"""
hooks = "{Path(__file__).with_name("openapi_hooks.py")}"
cache.enabled = false

[auth.openapi]
applicationKey.bearer = "{API_KEY}"
clientToken.bearer = "{{token}}"

[checks]
negative_data_rejection.expected-statuses = [400, 401, 403, 404, 411, 413, 414, 415, 431]
positive_data_acceptance.expected-statuses = ["2xx", 304, 429]

[warnings]
fail-on = true

# Server-Sent Events do not end: one is enough.
[[operations]]
include-path = "/v1/events"
max-stream-events = 1

# There is no WebSocket in schemathesis: every request lacks the handshake.
[[operations]]
include-path = "/v1/connect"
checks.positive_data_acceptance.expected-statuses = [426]
checks.negative_data_rejection.expected-statuses = [401, 426]
warnings = false

# A token in the query counts only where none is in a header, so one that is wrong may go unseen.
[[operations]]
include-tag = "client"
generation.with-security-parameters = false

# Any text is a batch, if one in which each line fails alone.
[[operations]]
include-path = "/v1/send/batch"
checks.negative_data_rejection.enabled = false
"""


@asynccontextmanager
async def application() -> AsyncIterator[str]:
    """An application that takes everything; its URL."""

    async def take(_request: aiohttp.web.Request) -> aiohttp.web.Response:
        return aiohttp.web.Response(status=204)

    app = aiohttp.web.Application()
    app.router.add_post("/_ah/channel/{what}/", take)
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
    """A server in a process of its own, which must log nothing; its URL."""
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
async def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
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
        printed, _ = await process.communicate()
    assert process.returncode == 0, printed.decode()

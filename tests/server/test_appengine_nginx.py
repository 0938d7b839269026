"""An application for App Engine behind one nginx, set up as docs/appengine.md says."""

import asyncio
import os
import shutil
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from tests.server.kit import API_KEY, SECRET, Site, opened, recv

# As somebody wrote it for App Engine: nothing in it knows of Headrace.
APPLICATION = """
from urllib.parse import parse_qs

from google.appengine.api import channel

seen = []

def application(environ, start_response):
    path = environ["PATH_INFO"]
    form = parse_qs(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode())
    if path == "/token":
        answer = channel.create_channel(form["player"][0])
    elif path == "/move":
        channel.send_message(form["to"][0], form["move"][0])
        answer = "moved"
    elif path in ("/_ah/channel/connected/", "/_ah/channel/disconnected/"):
        seen.append(path + " " + form["from"][0])
        answer = ""
    elif path == "/seen":
        answer = ", ".join(seen)
    else:
        start_response("404 Not Found", [])
        return [b"the application has no such page"]
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [answer.encode()]
"""
SERVE_APPLICATION = """
import sys
from wsgiref.simple_server import make_server
from wsgi import application
with make_server("127.0.0.1", int(sys.argv[1]), application) as server:
    server.serve_forever()
"""
DOCUMENT = Path(__file__).parents[2] / "docs" / "appengine.md"


def block(language: str) -> str:
    """The document's piece of code in a language."""
    pieces = DOCUMENT.read_text().split(f"```{language}\n")
    assert len(pieces) == 2
    return pieces[1].partition("```")[0]


def front_of(ports: dict[str, str], directory: Path) -> Path:
    """Write the document's nginx configuration with other ports, and return where it is."""
    front = block("nginx")
    for old, new in ports.items():
        assert front.count(old) == 1
        front = front.replace(old, new)
    config = directory / "nginx.conf"
    config.write_text(
        f"daemon off; pid {directory}/pid; error_log stderr; events {{}}"
        f" http {{ access_log off; client_body_temp_path {directory}/body;\n{front} }}"
    )
    return config


async def listening(port: int) -> None:
    """Wait until something listens."""
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                continue
            writer.close()
            return


@asynccontextmanager
async def set_up(directory: Path, port: int, app_port: int) -> AsyncIterator[str]:
    """Run Headrace, the application and nginx; yields the URL that a browser would open."""
    (directory / "main.py").write_text(APPLICATION)
    (directory / "wsgi.py").write_text(block("python"))
    inherited = {name: os.environ[name] for name in os.environ if not name.startswith("HEADRACE_")}
    async with AsyncExitStack() as stack:

        async def end(process: Process) -> None:
            process.terminate()
            await process.communicate()

        async def start(*command: str, **environ: str) -> Process:
            process = await asyncio.create_subprocess_exec(
                *command, cwd=directory, env={**inherited, **environ}, stdout=PIPE
            )
            stack.push_async_callback(end, process)
            return process

        headrace = await start(
            sys.executable, "-m", "headrace", "serve", "--port", "0",
            HEADRACE_SECRET=SECRET, HEADRACE_API_KEY=API_KEY,
            HEADRACE_APP_URL=f"http://127.0.0.1:{app_port}",
        )  # fmt: skip
        assert headrace.stdout is not None
        url = (await headrace.stdout.readline()).decode().split()[-1]
        await start(
            sys.executable, "-c", SERVE_APPLICATION, str(app_port),
            HEADRACE_URL=url, HEADRACE_API_KEY=API_KEY,
        )  # fmt: skip
        config = front_of(
            {
                "127.0.0.1:8080": url.removeprefix("http://"),
                "127.0.0.1:8000": f"127.0.0.1:{app_port}",
                "listen 80;": f"listen 127.0.0.1:{port};",
            },
            directory,
        )
        nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") or "nginx"
        await start(nginx, "-p", str(directory), "-c", str(config), "-e", "stderr")
        await listening(app_port)
        await listening(port)
        yield f"http://127.0.0.1:{port}"


async def seen(http: aiohttp.ClientSession, url: str, count: int) -> list[str]:
    """What the application's handlers were told, once it is so much."""
    async with asyncio.timeout(20):
        while True:
            async with http.get(url + "/seen") as answer:
                notices = (await answer.text()).split(", ")
            if len(notices) >= count and notices != [""]:
                return notices


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_behind_one_nginx(
    tmp_path: Path, unused_tcp_port: int, unused_tcp_port_factory: Callable[[], int]
) -> None:
    async with (
        set_up(tmp_path, unused_tcp_port, unused_tcp_port_factory()) as url,
        aiohttp.ClientSession() as http,
    ):
        async with http.get(url + "/_ah/channel/jsapi") as script:
            assert script.content_type == "text/javascript"
            assert "goog" in await script.text()
        async with http.post(url + "/token", data={"player": "é/x"}) as answer:
            token = await answer.text()
        page = Site(url, http)
        async with page.connect(token, additional_headers={"Origin": url}) as client:
            assert (await opened(client))["client_id"] == "é/x"
            came = "/_ah/channel/connected/ é/x"
            assert await seen(http, url, 1) == [came]
            for to in ("é/x", token):
                async with http.post(url + "/move", data={"to": to, "move": "b4 ♞"}) as answer:
                    assert await answer.text() == "moved"
                assert (await recv(client))["data"] == "b4 ♞"
        assert await seen(http, url, 2) == [came, "/_ah/channel/disconnected/ é/x"]

        # What is the application's, and what is nobody's from outside.
        for path, whose in (("/v1/send", "the application"), ("/_ah/channel/connected/", "nginx")):
            async with http.post(url + path, data={"from": "alice"}) as answer:
                assert answer.status == 404
                assert whose in await answer.text()

"""An application for App Engine behind nginx, configured as in docs/appengine.md."""

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
from tests.helpers.site import API_KEY, SECRET, Site, opened, recv

# Written for App Engine, without any code for Headrace.
APPLICATION = """
from urllib.parse import parse_qs

from google.appengine.api import channel

seen = []

def application(environ, start_response):
    path = environ["PATH_INFO"]
    form = parse_qs(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode())
    if path == "/token":
        response = channel.create_channel(form["player"][0])
    elif path == "/move":
        channel.send_message(form["to"][0], form["move"][0])
        response = "moved"
    elif path in ("/_ah/channel/connected/", "/_ah/channel/disconnected/"):
        seen.append(path + " " + form["from"][0])
        response = ""
    elif path == "/seen":
        response = ", ".join(seen)
    else:
        start_response("404 Not Found", [])
        return [b"the application has no such page"]
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [response.encode()]
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
    """Return the code block of the document in a language."""
    parts = DOCUMENT.read_text().split(f"```{language}\n")
    assert len(parts) == 2
    return parts[1].partition("```")[0]


def nginx_configuration(ports: dict[str, str], directory: Path) -> Path:
    """Write the document's nginx configuration with other addresses; return its path."""
    server = block("nginx")
    for old, new in ports.items():
        assert server.count(old) == 1
        server = server.replace(old, new)
    config = directory / "nginx.conf"
    config.write_text(
        f"daemon off; pid {directory}/pid; error_log stderr; events {{}}"
        f" http {{ access_log off; client_body_temp_path {directory}/body;\n{server} }}"
    )
    return config


async def wait_until_listening(port: int) -> None:
    """Wait until a connection to a port is accepted."""
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                continue
            writer.close()
            return


@asynccontextmanager
async def running_site(directory: Path, port: int, app_port: int) -> AsyncIterator[str]:
    """Run Headrace, the application and nginx; yield the URL of nginx."""
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
        config = nginx_configuration(
            {
                "127.0.0.1:8080": url.removeprefix("http://"),
                "127.0.0.1:8000": f"127.0.0.1:{app_port}",
                "listen 80;": f"listen 127.0.0.1:{port};",
            },
            directory,
        )
        nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") or "nginx"
        await start(nginx, "-p", str(directory), "-c", str(config), "-e", "stderr")
        await wait_until_listening(app_port)
        await wait_until_listening(port)
        yield f"http://127.0.0.1:{port}"


async def wait_for_notices(http: aiohttp.ClientSession, url: str, count: int) -> list[str]:
    """Wait until the application has received `count` presence notices, and return them."""
    async with asyncio.timeout(20):
        while True:
            async with http.get(url + "/seen") as response:
                notices = (await response.text()).split(", ")
            if len(notices) >= count and notices != [""]:
                return notices


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_behind_nginx(
    tmp_path: Path, unused_tcp_port: int, unused_tcp_port_factory: Callable[[], int]
) -> None:
    async with (
        running_site(tmp_path, unused_tcp_port, unused_tcp_port_factory()) as url,
        aiohttp.ClientSession() as http,
    ):
        async with http.get(url + "/_ah/channel/jsapi") as script:
            assert script.content_type == "text/javascript"
            assert "goog" in await script.text()
        async with http.post(url + "/token", data={"player": "é/x"}) as response:
            token = await response.text()
        page = Site(url, http)
        async with page.connect(token, additional_headers={"Origin": url}) as client:
            assert (await opened(client))["client_id"] == "é/x"
            connected = "/_ah/channel/connected/ é/x"
            assert await wait_for_notices(http, url, 1) == [connected]
            for to in ("é/x", token):
                async with http.post(url + "/move", data={"to": to, "move": "b4 ♞"}) as response:
                    assert await response.text() == "moved"
                assert (await recv(client))["data"] == "b4 ♞"
        assert await wait_for_notices(http, url, 2) == [connected, "/_ah/channel/disconnected/ é/x"]

        # The application's API is not reachable from outside, and neither are its webhooks.
        for path, source in (("/v1/send", "the application"), ("/_ah/channel/connected/", "nginx")):
            async with http.post(url + path, data={"from": "alice"}) as response:
                assert response.status == 404
                assert source in await response.text()

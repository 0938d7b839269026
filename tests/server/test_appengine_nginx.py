"""An application for App Engine behind one nginx, set up as docs/appengine.md says."""

import asyncio
import os
import shutil
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from tests.server.conftest import Serve
from tests.server.kit import API_KEY, Site, opened, recv

PAGE = """
from urllib.parse import parse_qs

from google.appengine.api import channel

def application(environ, start_response):
    form = parse_qs(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode())
    if environ["PATH_INFO"] == "/token":
        answer = channel.create_channel(form["player"][0])
    elif environ["PATH_INFO"] == "/move":
        channel.send_message(form["to"][0], form["move"][0])
        answer = "moved"
    else:
        start_response("404 Not Found", [])
        return [b"the application has no such page"]
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [answer.encode()]
"""
SERVE_PAGE = """
from wsgiref.simple_server import make_server
from wsgi import application
with make_server("127.0.0.1", 0, application) as server:
    print(server.server_port, flush=True)
    server.serve_forever()
"""
DOCUMENT = Path(__file__).parents[2] / "docs" / "appengine.md"


def block(language: str) -> str:
    """The document's piece of code in a language."""
    pieces = DOCUMENT.read_text().split(f"```{language}\n")
    assert len(pieces) == 2
    return pieces[1].partition("```")[0]


@asynccontextmanager
async def started(*command: str, cwd: Path, **environ: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, env={**os.environ, **environ}, stdout=PIPE
    )
    try:
        yield process
    finally:
        process.terminate()
        await process.communicate()


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


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_behind_one_nginx(serve: Serve, tmp_path: Path, unused_tcp_port: int) -> None:
    site = await serve()
    (tmp_path / "main.py").write_text(PAGE)
    (tmp_path / "wsgi.py").write_text(block("python"))
    environ = {"HEADRACE_URL": site.url, "HEADRACE_API_KEY": API_KEY}
    async with AsyncExitStack() as stack:
        python = [sys.executable, "-u", "-c", SERVE_PAGE]
        application = await stack.enter_async_context(started(*python, cwd=tmp_path, **environ))
        assert application.stdout is not None
        port = int(await application.stdout.readline())

        front = block("nginx")
        for old, new in {
            "127.0.0.1:8080": f"127.0.0.1:{site.port}",
            "127.0.0.1:8000": f"127.0.0.1:{port}",
            "listen 80;": f"listen 127.0.0.1:{unused_tcp_port};",
        }.items():
            assert front.count(old) == 1
            front = front.replace(old, new)
        config = tmp_path / "nginx.conf"
        config.write_text(
            f"daemon off; pid {tmp_path}/pid; error_log stderr; events {{}}"
            f" http {{ access_log off; client_body_temp_path {tmp_path}/body;\n{front} }}"
        )
        nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") or "nginx"
        nginx_command = [nginx, "-p", str(tmp_path), "-c", str(config), "-e", "stderr"]
        await stack.enter_async_context(started(*nginx_command, cwd=tmp_path))
        await listening(unused_tcp_port)
        url = f"http://127.0.0.1:{unused_tcp_port}"

        async with site.http.get(url + "/_ah/channel/jsapi") as script:
            assert script.content_type == "text/javascript"
            assert "goog" in await script.text()
        async with site.http.post(url + "/token", data={"player": "é/x"}) as answer:
            token = await answer.text()
        page = Site(url, site.http)
        async with page.connect(token, additional_headers={"Origin": url}) as client:
            assert (await opened(client))["client_id"] == "é/x"
            for to in ("é/x", token):
                move = {"to": to, "move": "Zug: b4 ♞"}
                async with site.http.post(url + "/move", data=move) as answer:
                    assert await answer.text() == "moved"
                assert (await recv(client))["data"] == "Zug: b4 ♞"
        # What is the application's, and what is nobody's from outside.
        for path, text in {
            "/v1/send": "the application",
            "/_ah/channel/connected/": "nginx",
        }.items():
            async with site.http.post(url + path, data={"from": "alice"}) as answer:
                assert answer.status == 404
                assert text in await answer.text()

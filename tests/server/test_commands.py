"""The commands together, as processes: serve, send, listen."""

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator

import httpx2
import pytest

# The loop is the processes' own choice: this one only waits for them.
pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])


async def start(*arguments: str, **environ: str) -> Process:
    inherited = {name: os.environ[name] for name in os.environ if not name.startswith("HEADRACE_")}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headrace", *arguments,
        env={**inherited, **environ}, stdout=PIPE, stderr=PIPE,
    )  # fmt: skip


async def run(*arguments: str, **environ: str) -> tuple[int | None, str, str]:
    process = await start(*arguments, **environ)
    stdout, stderr = await process.communicate()
    return process.returncode, stdout.decode(), stderr.decode()


async def read_line(process: Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode()


async def stop(process: Process, number: signal.Signals) -> tuple[int | None, str]:
    """Send a signal; return the exit code and what is on stderr."""
    process.send_signal(number)
    _, stderr = await process.communicate()
    return process.returncode, stderr.decode()


@pytest.fixture
async def environ() -> AsyncIterator[dict[str, str]]:
    """The variables for a server that was started without any settings, as it prints them."""
    server = await start("serve", "--port", "0")
    printed = [await read_line(server) for _ in range(4)]
    try:
        variables = dict(re.findall(r"^  (HEADRACE_\w+)=(.+)$", "".join(printed), re.MULTILINE))
        assert sorted(variables) == ["HEADRACE_API_KEY", "HEADRACE_SECRET"]
        said = re.fullmatch(r"Listening on (http://127\.0\.0\.1:\d+)\n", printed[3])
        assert said is not None
        yield {**variables, "HEADRACE_URL": said[1]}
    finally:
        returncode, stderr = await stop(server, signal.SIGTERM)
    assert (returncode, stderr) == (0, "")


async def until_listening(client_id: str, environ: dict[str, str]) -> None:
    """Send until a session gets it: the first `first` is what the listener prints."""
    headers = {"authorization": f"Bearer {environ['HEADRACE_API_KEY']}"}
    body = {"to": client_id, "data": "first"}
    async with httpx2.AsyncClient(base_url=environ["HEADRACE_URL"], headers=headers) as client:
        while (await client.post("/v1/send", json=body)).json()["sessions"] == 0:
            pass


async def test_send_and_listen(environ: dict[str, str]) -> None:
    listener = await start("listen", "élève", **environ)
    await until_listening("élève", environ)
    assert await read_line(listener) == "first\n"

    returncode, stdout, stderr = await run("send", "élève", "Grüße", **environ)
    assert (returncode, stderr) == (0, "")
    assert re.fullmatch(r"id=\d+-\d+ sessions=1\n", stdout)
    assert await read_line(listener) == "Grüße\n"

    assert await stop(listener, signal.SIGINT) == (130, "")


async def test_a_token_from_elsewhere_and_a_reader_that_leaves(environ: dict[str, str]) -> None:
    _, token, _ = await run("token", "alice", **environ)
    listener = await start("listen", "--token", token.strip(), HEADRACE_URL=environ["HEADRACE_URL"])
    await until_listening("alice", environ)
    assert await read_line(listener) == "first\n"
    assert listener.stdout is not None
    listener._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]  # as `| head`
    await run("send", "alice", "second", **environ)
    await run("send", "alice", "third", **environ)
    await listener.wait()
    assert listener.returncode == 1
    assert listener.stderr is not None
    assert await listener.stderr.read() == b""


async def test_a_port_in_use(environ: dict[str, str]) -> None:
    port = environ["HEADRACE_URL"].rpartition(":")[2]
    returncode, _, stderr = await run("serve", "--port", port)
    assert returncode == 2
    assert re.match(r"Error: cannot listen on .* in use; .*HEADRACE_PORT", stderr)

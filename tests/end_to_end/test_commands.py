"""The commands serve, send and listen, each as a process."""

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Iterable

import httpx2
import pytest

# The event loop of this process does not matter: it only waits for the others.
pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])


async def start(*arguments: str, **environ: str) -> Process:
    return await _start(arguments, environ, None)


async def start_with_sigint_ignored(*arguments: str, **environ: str) -> Process:
    """As a shell starts a background job."""
    return await _start(arguments, environ, lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))


async def _start(
    arguments: Iterable[str], environ: dict[str, str], preexec_fn: Callable[[], object] | None
) -> Process:
    inherited = {name: os.environ[name] for name in os.environ if not name.startswith("HEADRACE_")}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headrace", *arguments,
        env={**inherited, **environ}, stdout=PIPE, stderr=PIPE, preexec_fn=preexec_fn,
    )  # fmt: skip


async def run(*arguments: str, **environ: str) -> tuple[int | None, str, str]:
    process = await start(*arguments, **environ)
    stdout, stderr = await process.communicate()
    return process.returncode, stdout.decode(), stderr.decode()


async def read_line(process: Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode()


async def stop(process: Process, number: signal.Signals) -> tuple[int | None, str]:
    """Send a signal; return the exit code and stderr."""
    process.send_signal(number)
    _, stderr = await process.communicate()
    return process.returncode, stderr.decode()


@pytest.fixture
async def environ() -> AsyncIterator[dict[str, str]]:
    """The variables of a server without settings, as it prints them."""
    server = await start("serve", "--port", "0")
    printed = [await read_line(server) for _ in range(4)]
    try:
        variables = dict(
            re.findall(r"^export (HEADRACE_\w+)=(.+)$", "".join(printed), re.MULTILINE)
        )
        assert sorted(variables) == ["HEADRACE_API_KEY", "HEADRACE_SECRET"]
        listening = re.fullmatch(r"Listening on (http://127\.0\.0\.1:\d+)\n", printed[3])
        assert listening is not None
        yield {**variables, "HEADRACE_URL": listening[1]}
    finally:
        returncode, stderr = await stop(server, signal.SIGTERM)
    assert (returncode, stderr) == (0, "")


async def until_listening(client_id: str, environ: dict[str, str]) -> None:
    """Send "first" until a session receives it."""
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


async def test_listen_with_a_token_ends_when_stdout_is_closed(environ: dict[str, str]) -> None:
    _, token, _ = await run("token", "alice", **environ)
    listener = await start("listen", "--token", token.strip(), HEADRACE_URL=environ["HEADRACE_URL"])
    await until_listening("alice", environ)
    assert await read_line(listener) == "first\n"
    assert listener.stdout is not None
    listener._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]  # as by `| head`
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


async def test_listen_ends_on_sigint_if_it_was_started_with_sigint_ignored(
    environ: dict[str, str],
) -> None:
    listener = await start_with_sigint_ignored("listen", "alice", **environ)
    await until_listening("alice", environ)
    assert await read_line(listener) == "first\n"
    assert await stop(listener, signal.SIGINT) == (130, "")


async def test_serve_ends_on_sigint_if_it_was_started_with_sigint_ignored() -> None:
    server = await start_with_sigint_ignored("serve", "--port", "0")
    while not (await read_line(server)).startswith("Listening on "):
        pass
    assert await stop(server, signal.SIGINT) == (0, "")


async def test_the_output_of_keygen_export_is_for_a_shell() -> None:
    _, lines, _ = await run("keygen", "--export")
    shell = await asyncio.create_subprocess_shell(
        f"{lines} exec {sys.executable} -m headrace token alice", stdout=PIPE, stderr=PIPE
    )
    stdout, stderr = await shell.communicate()
    assert (shell.returncode, stderr) == (0, b"")
    assert re.fullmatch(rb"[\w-]+\.[\w-]+\.[\w-]+\n", stdout)

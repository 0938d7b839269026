"""`state_dir`: what a killed process has stored, and who may use the port and the directory."""

import asyncio
import fcntl
import signal
from pathlib import Path

import pytest
from tests.helpers.server_process import ServerProcess, server_process
from tests.helpers.site import API_KEY, SECRET, mint, opened, recv
from tests.helpers.wire import request, wire
from websockets.exceptions import ConnectionClosed

# The server is another process.
pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])

AUTHORIZATION = f"Authorization: Bearer {API_KEY}"
AUTHORIZED = {"authorization": f"Bearer {API_KEY}"}


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock: it waits for the running server to stop."""
    with open(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


async def call(site: ServerProcess, method: str, path: str) -> None:
    async with site.http.request(method, site.url + path, headers=AUTHORIZED) as response:
        assert response.status == 200


async def test_revocations_and_memberships_survive_a_kill(tmp_path: Path) -> None:
    async with server_process("--state-dir", str(tmp_path)) as site:
        revoked = await site.channel("ada")
        token = await site.channel("bob", groups=["left"])
        await call(site, "DELETE", "/v1/channels/ada")
        await call(site, "DELETE", "/v1/groups/left/members/bob")
        await call(site, "PUT", "/v1/groups/joined/members/bob")
        await site.stop(signal.SIGKILL)
    async with server_process("--state-dir", str(tmp_path)) as site:
        async with site.connect(revoked) as client:
            with pytest.raises(ConnectionClosed):
                await client.recv()
            assert client.close_code == 4003
        async with site.connect(token) as client:
            await opened(client)
            await site.send("not for bob", group="left")
            await site.send("for bob", group="joined")
            assert (await recv(client))["data"] == "for bob"
        async with site.connect(await site.channel("ada")) as client:
            await opened(client)


async def test_a_process_that_is_killed_during_its_shutdown_has_written_its_state(
    tmp_path: Path,
) -> None:
    flags = ("--state-dir", str(tmp_path), "--drain-s", "3600")
    async with server_process(*flags) as site:
        token = await site.channel("ada")
        async with site.connect(token) as client:
            await opened(client)
            await site.send("before")
            first = await site.send("missed", to="ada")
            site.send_signal(signal.SIGTERM)
            while (await recv(client)).get("type") != "reconnect":
                pass
            await site.stop(signal.SIGKILL)
    async with (
        server_process(*flags) as site,
        site.connect(token, f"?last_id={int(first['id'].split('-')[0]) - 1}-0") as client,
    ):
        assert (await opened(client))["recovered"] is True
        assert (await recv(client))["data"] == "missed"


async def test_what_was_sent_after_the_state_was_written_is_reported_as_lost(
    tmp_path: Path,
) -> None:
    flags = ("--state-dir", str(tmp_path), "--drain-s", "3600")
    body = b'{"to": "ada", "data": "too late"}'
    async with server_process(*flags) as site:
        token = await site.channel("ada")
        async with site.connect(token) as client, wire(site.port) as sender:
            last_id = (await opened(client))["id"]
            await sender.write(request("POST", "/v1/send", AUTHORIZATION, body=body)[:-5])
            await site.stats()
            site.send_signal(signal.SIGTERM)
            while (await recv(client)).get("type") != "reconnect":
                pass
            await sender.write(body[-5:])
            assert (await sender.read_response()).status == 200
            await site.stop(signal.SIGKILL)
    async with server_process(*flags) as site, site.connect(token, f"?last_id={last_id}") as client:
        assert (await opened(client))["recovered"] is False


async def test_two_servers_with_different_directories_do_not_share_a_port(tmp_path: Path) -> None:
    async with server_process("--state-dir", str(tmp_path / "a")) as site:
        port = str(site.port)
        with pytest.raises(AssertionError):  # the helper's: it prints no URL
            async with server_process("--state-dir", str(tmp_path / "b"), "--port", port):
                pass
        assert (await site.stats())["sessions"] == 0


async def test_no_connection_is_refused_during_a_handover(tmp_path: Path) -> None:
    flags = ("--state-dir", str(tmp_path), "--drain-s", "0.2")
    async with server_process(*flags) as running:
        failures: list[Exception] = []
        connected = 0
        done = asyncio.Event()

        async def connect_again_and_again() -> None:
            nonlocal connected
            while not done.is_set():
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", running.port)
                    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                    await writer.drain()
                    writer.close()
                    await writer.wait_closed()
                    connected += 1
                except OSError as error:
                    failures.append(error)
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(4):
                tasks.create_task(connect_again_and_again())
            following = server_process(*flags, "--port", str(running.port))
            entering = tasks.create_task(following.__aenter__())
            while not is_locked(tmp_path / "waiting"):  # noqa: ASYNC110 - in another process
                await asyncio.sleep(0.01)
            await running.stop()
            await entering
            for _ in range(20):
                await asyncio.sleep(0.01)
            done.set()
        await following.__aexit__(None, None, None)
    assert connected > 100
    assert failures == []


async def test_sighup_replaces_the_keys_and_closes_sessions_of_a_removed_secret(
    tmp_path: Path,
) -> None:
    config = tmp_path / "headrace.toml"
    old, new = SECRET, "another secret of the tests, 32 bytes"
    config.write_text(f'secrets = ["{old}", "{new}"]\napi_key = "{API_KEY}"\n')
    async with (
        server_process("--config", str(config), keys=False) as site,
        site.connect(mint("ada", secret=old)) as removed,
        site.connect(mint("bob", secret=new)) as kept,
    ):
        await opened(removed)
        await opened(kept)
        config.write_text(f'secrets = ["{new}"]\n')
        site.send_signal(signal.SIGHUP)
        with pytest.raises(ConnectionClosed):
            await removed.recv()
        assert removed.close_code == 4003
        async with site.http.get(site.url + "/v1/stats", headers=AUTHORIZED) as response:
            assert response.status == 401
        async with site.connect(mint("bob", secret=new)) as again:
            await opened(again)

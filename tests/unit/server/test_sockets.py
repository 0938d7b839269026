"""server/sockets.py: listening sockets, their options, and the TLS context."""

import resource
import socket
import ssl
from pathlib import Path

import pytest
import trustme

from headrace.errors import ConfigError
from headrace.server import sockets as sockets_module
from headrace.server.sockets import bind, default_max_connections, set_options, tls_context


async def test_port_zero_is_any_free_port() -> None:
    (one,) = await bind("127.0.0.1", 0, shared=False)
    with one:
        host, port = one.getsockname()
        assert host == "127.0.0.1"
        assert port > 0
        assert not one.getblocking()


async def test_all_addresses_of_a_host_have_the_same_port() -> None:
    found = await bind("", 0, shared=False)
    try:
        assert len({each.getsockname()[1] for each in found}) == 1
        assert len({each.family for each in found}) == len(found)
    finally:
        for each in found:
            each.close()


async def test_a_shared_port_can_be_bound_again() -> None:
    (first,) = await bind("127.0.0.1", 0, shared=True)
    with first:
        port = first.getsockname()[1]
        (second,) = await bind("127.0.0.1", port, shared=True)
        second.close()
        first.listen()
        with pytest.raises(ConfigError):
            await bind("127.0.0.1", port, shared=False)


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
async def test_an_address_that_cannot_be_used(host: str) -> None:
    with pytest.raises(ConfigError, match=f"cannot listen on host {host}, port 0: .*--host"):
        await bind(host, 0, shared=False)


def test_the_options_that_accepted_connections_inherit() -> None:
    with socket.socket() as listener:
        set_options(listener, write_timeout_s=1.5)
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        user_timeout = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        assert user_timeout == 1500
        unsent = getattr(socket, "TCP_NOTSENT_LOWAT", None)
        if unsent is not None:
            assert listener.getsockopt(socket.IPPROTO_TCP, unsent) == 64 * 1024


@pytest.mark.parametrize(
    ("limits", "raised", "connections"),
    [((1024, 4096), True, 3796), ((4096, 4096), False, 3796), ((100, 100), False, 1)],
)
def test_the_limit_of_connections_follows_from_that_of_open_files(
    limits: tuple[int, int], raised: bool, connections: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[int, int]] = []

    def setrlimit(kind: int, wanted: tuple[int, int]) -> None:
        calls.append(wanted)

    monkeypatch.setattr(sockets_module, "resource", resource)
    monkeypatch.setattr(resource, "getrlimit", lambda kind: limits)
    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    assert default_max_connections() == connections
    assert calls == ([(limits[1], limits[1])] if raised else [])


def test_a_tls_context(tmp_path: Path) -> None:
    issued = trustme.CA().issue_cert("localhost")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(str(certificate))
    issued.private_key_pem.write_to_path(str(key))
    context = tls_context(str(certificate), str(key))
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    with pytest.raises(ConfigError, match=r"tls_cert .* cannot be used: .* PEM certificate"):
        tls_context(str(key), str(certificate))
    with pytest.raises(ConfigError, match="No such file"):
        tls_context(str(certificate), str(tmp_path / "missing"))

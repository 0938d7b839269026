"""Listening sockets, their options, which accepted connections inherit, and TLS."""

import asyncio
import resource
import socket
import ssl
from typing import Any, Final, TypeAlias

from headrace.errors import ConfigError

LISTEN_BACKLOG: Final = 4096
"""Connections that the kernel completes before they are accepted; the system may allow fewer."""

_UNSENT_MAX_BYTES: Final = 64 * 1024
"""TCP_NOTSENT_LOWAT: above it the kernel takes no more data for a slow client."""

_FILES_RESERVE: Final = 300
"""File descriptors kept free for the log, the event loop and outgoing requests."""


_Address: TypeAlias = tuple[socket.AddressFamily, socket.SocketKind, int, Any]


async def resolve(host: str, port: int) -> list[_Address]:
    """Return family, kind, protocol and address of each address of `host`; raise OSError."""
    infos = await asyncio.get_running_loop().getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    return [
        (family, kind, protocol, address)
        for family, kind, protocol, _, address in dict.fromkeys(infos)
    ]


async def bind(host: str, port: int, *, shared: bool) -> list[socket.socket]:
    """Return a bound socket for each address of `host`, all on one port.

    Port 0 means any free port. A `shared` port may also be bound by another process (SO_REUSEPORT),
    as the next process does in a planned restart. Raises ConfigError if an address cannot be bound.
    """
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, address in await resolve(host, port):
            each = socket.socket(family, kind, protocol)
            sockets.append(each)
            each.setblocking(False)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:  # otherwise it would take the IPv4 port as well
                each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            each.bind((address[0], port, *address[2:]))
            port = each.getsockname()[1]
    except OSError as error:
        for each in sockets:
            each.close()
        raise ConfigError(
            f"cannot listen on host {host}, port {port}: {error.strerror or error}; choose another"
            " with --host and --port (HEADRACE_HOST, HEADRACE_PORT)"
        ) from None
    return sockets


def set_options(listener: socket.socket, *, write_timeout_s: float) -> None:
    """Set the TCP options of a listening socket; on Linux accepted sockets inherit them."""
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # Keeps a slow client's backlog in its ring instead of in the kernel's buffers.
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_MAX_BYTES)
    # Ends a connection whose peer acknowledges nothing for so long (RFC 5482).
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        timeout_ms = int(write_timeout_s * 1000)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, timeout_ms)


def default_max_connections() -> int:
    """Return how many connections the limit on open files allows, after raising it.

    The soft limit is raised to the hard limit, which any process may do.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return max(hard - _FILES_RESERVE, 1)


def tls_context(certificate: str, key: str) -> ssl.SSLContext:
    """Return a context for TLS 1.2 and newer; raise ConfigError if the files cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"tls_cert {certificate} and tls_key {key} cannot be used: {error}; they must be a"
            " PEM certificate and its private key"
        ) from None
    return context

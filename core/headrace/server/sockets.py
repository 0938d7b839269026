"""The listening sockets: their options, which every accepted connection inherits, and TLS."""

import asyncio
import resource
import socket
import ssl

from headrace import limits
from headrace.errors import ConfigError


async def bind(host: str, port: int, *, shared: bool) -> list[socket.socket]:
    """Return a bound socket for each address of `host`, on one port; ConfigError if none can be.

    A port of 0 means any that is free. A `shared` port may be bound by another process as well
    (SO_REUSEPORT), which is what a successor does.
    """
    loop = asyncio.get_running_loop()
    sockets: list[socket.socket] = []
    try:
        infos = await loop.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, kind, protocol, _, address in dict.fromkeys(infos):
            each = socket.socket(family, kind, protocol)
            sockets.append(each)
            each.setblocking(False)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:  # or it would take the port of IPv4 as well
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
    """Set the TCP options of a listening socket; Linux hands them on to what it accepts."""
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # The kernel hoards too: past this it takes nothing more, and the backlog stays in the ring.
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, limits.UNSENT_MAX_BYTES)
    # Ends a peer that acknowledges nothing for so long (RFC 5482).
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        timeout_ms = int(write_timeout_s * 1000)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, timeout_ms)


def default_max_connections() -> int:
    """Return how many connections the process's limit on open files allows.

    Raises the soft limit to the hard one first, as a server may.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return max(hard - limits.FILES_RESERVE, 1)


def tls_context(certificate: str, key: str) -> ssl.SSLContext:
    """Return a context for TLS 1.2 and newer; ConfigError where the files cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"tls_cert {certificate} and tls_key {key} cannot be used: {error}; they must be PEM"
            " files that belong together"
        ) from None
    return context

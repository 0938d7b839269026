"""The servers that run in this process, so that code which is handed none finds the one there is.

`Server.start` adds to it, `Server.stop` takes from it. Any thread may ask.
"""

from typing import TYPE_CHECKING

from headrace.errors import ConfigError

if TYPE_CHECKING:  # the server imports this module
    from headrace.server.server import Server

_servers: "list[Server]" = []


def add(server: "Server") -> None:
    """Take note that `server` serves; a second time changes nothing."""
    if server not in _servers:
        _servers.append(server)


def discard(server: "Server") -> None:
    """Take note that `server` has stopped; one that never started is no error."""
    if server in _servers:
        _servers.remove(server)


def only() -> "Server | None":
    """Return the server that runs in this process, None where there is none.

    ConfigError where there are several: which one is meant cannot be told.
    """
    servers = list(_servers)
    if len(servers) > 1:
        raise ConfigError(
            f"{len(servers)} servers run in this process; say which one is meant, as with"
            " headrace.appengine.bind(server)"
        )
    return servers[0] if servers else None

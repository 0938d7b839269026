"""Where `headrace.appengine.channel` sends now."""

import atexit
import os
import sys
import threading

from headrace.appengine.backend import Backend
from headrace.appengine.http import HttpBackend
from headrace.appengine.hub import Host, HubBackend
from headrace.client import Client
from headrace.errors import ConfigError

TIMEOUT_S = 5.0
"""The longest wait for a piece of a server's answer: somebody waits for the page being made."""

RETRY_S = 10.0
"""How long to go on trying where a server restarts."""

_VARIABLES = ("HEADRACE_URL", "HEADRACE_API_KEY", "HEADRACE_SECRET")


def use(backend: Backend | None) -> None:
    """Send to `backend` from now on; None goes back to the default."""
    global _chosen  # noqa: PLW0603 - the module that this stands for had one service, too
    _chosen = backend


def bind(host: Host | None) -> None:
    """Send to the hub of `host`, a server in this process; None goes back to the default.

    A server that runs in this process is found without it, unless there are several.
    """
    use(None if host is None else HubBackend(host))


def current() -> Backend:
    """Return what `use` or `bind` said, a server that runs in this process, or one by HTTP.

    ConfigError where there is none of them.
    """
    if _chosen is not None:
        return _chosen
    if "headrace.server" in sys.modules:  # if nobody has loaded it, none can be running
        from headrace.server import running

        server = running.only()
        if server is not None:
            return HubBackend(server)
    return _by_http.backend()


class _ByHttp:
    """The server that the environment names; connections are kept from call to call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made_for: tuple[object, ...] = ()
        self._backend: HttpBackend | None = None

    def backend(self) -> HttpBackend:
        """Return the backend; ConfigError where the variables are missing or cannot be used."""
        url, api_key, secret = (os.environ.get(name) or None for name in _VARIABLES)
        wanted = (url, api_key, secret)
        with self._lock:
            if self._backend is None or self._made_for != wanted:
                if url is None or api_key is None:
                    missing = "HEADRACE_API_KEY" if api_key is None else "HEADRACE_URL"
                    raise ConfigError(
                        f"{missing} is not set, and no Headrace server runs in this process: set"
                        " HEADRACE_URL and HEADRACE_API_KEY to the server's"
                    )
                client = Client(url, api_key, timeout_s=TIMEOUT_S, retry_s=RETRY_S)
                made = HttpBackend(client, secret)
                self._close()
                self._backend, self._made_for = made, wanted
            return self._backend

    def close(self) -> None:
        """Close what this process has opened."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._backend is not None:
            self._backend.close()
        self._backend = None


def _begin_anew() -> None:
    """After a fork: neither the lock nor the connections of the other process are ours."""
    global _by_http  # noqa: PLW0603 - see `use`
    _by_http = _ByHttp()


_chosen: Backend | None = None
_by_http = _ByHttp()


@atexit.register
def _close() -> None:
    _by_http.close()


os.register_at_fork(after_in_child=_begin_anew)

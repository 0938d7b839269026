"""The backend that `headrace.appengine.channel` uses."""

import atexit
import os
import sys
import threading
from typing import TYPE_CHECKING

from headrace.appengine.backend import Backend
from headrace.appengine.http_backend import HttpBackend
from headrace.appengine.hub_backend import HubBackend
from headrace.client import Client
from headrace.errors import ConfigError

if TYPE_CHECKING:  # an application that uses HTTP does not need it
    from headrace.api.hub import Hub

TIMEOUT_S = 5.0
"""The longest wait for a part of a response: a user waits for the page that is being made."""

RETRY_S = 10.0
"""How long to retry while the server restarts."""

_VARIABLES = ("HEADRACE_URL", "HEADRACE_API_KEY", "HEADRACE_SECRET")


def use(backend: Backend | None) -> None:
    """Use `backend` from now on; None restores the default."""
    global _explicit  # noqa: PLW0603 - App Engine's module has one service per process, too
    _explicit = backend


def bind(hub: "Hub | None") -> None:
    """Use `hub`, which runs in this process, from now on; None restores the default.

    This is necessary only if several hubs run in the process.
    """
    use(None if hub is None else HubBackend(hub))


def current() -> Backend:
    """Return the backend set by `use` or `bind`, else the hub of this process, else HTTP.

    Raises ConfigError if there is none, or if several hubs run in this process.
    """
    if _explicit is not None:
        return _explicit
    if "headrace.api.hub" in sys.modules:  # otherwise no hub can be running
        from headrace.api import hub_registry

        hub = hub_registry.only()
        if hub is not None:
            return HubBackend(hub)
    return _http.backend()


class _EnvironmentBackend:
    """The HTTP backend that the environment variables describe, kept until they change."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: tuple[object, ...] = ()
        self._backend: HttpBackend | None = None

    def backend(self) -> HttpBackend:
        """Return the backend; raise ConfigError if a variable is missing or cannot be used."""
        url, api_key, secret = (os.environ.get(name) or None for name in _VARIABLES)
        values = (url, api_key, secret)
        with self._lock:
            if self._backend is None or self._values != values:
                if url is None or api_key is None:
                    missing = "HEADRACE_API_KEY" if api_key is None else "HEADRACE_URL"
                    raise ConfigError(
                        f"{missing} is not set, and no hub runs in this process: set HEADRACE_URL"
                        " and HEADRACE_API_KEY to those of the server"
                    )
                client = Client(url, api_key, timeout_s=TIMEOUT_S, retry_s=RETRY_S)
                backend = HttpBackend(client, secret)
                self._close()
                self._backend, self._values = backend, values
            return self._backend

    def close(self) -> None:
        """Close the connections; `backend` opens new ones."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._backend is not None:
            self._backend.close()
        self._backend = None


def _reset_after_fork() -> None:
    """Give a child process its own lock and connections, not those of its parent."""
    global _http  # noqa: PLW0603 - see `use`
    _http = _EnvironmentBackend()


_explicit: Backend | None = None
_http = _EnvironmentBackend()


@atexit.register
def _close() -> None:
    _http.close()


os.register_at_fork(after_in_child=_reset_after_fork)

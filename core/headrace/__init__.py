"""Headrace pushes messages from an application to JavaScript clients in real time.

    from headrace import Callbacks, Hub, Server, Settings

    hub = Hub(Settings(secrets=(secret,), api_key=key), Callbacks(connected=hello, message=receive))
    async with hub, Server(hub, port=8080):
        channel = hub.create_channel("ada", groups=["lobby"])
        receipt = await hub.send("hello", to="ada")

The names in `__all__` are public, and those of `headrace.client`, `headrace.appengine`,
`headrace.protocol` and `headrace.adapters`. They are loaded when they are first used, so that
`import headrace` is fast and an application loads only what it needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from headrace.version import __version__

if TYPE_CHECKING:
    from headrace.api.body_stream import StreamedResponse
    from headrace.api.hub import Hub
    from headrace.api.responses import Response
    from headrace.api.router import Request, Route
    from headrace.auth.tokens import Claims, TokenSigner
    from headrace.client.async_client import AsyncClient
    from headrace.client.blocking_client import Client
    from headrace.errors import (
        ConfigError,
        ConflictError,
        ExpiredTokenError,
        ForbiddenError,
        FrameError,
        HeadraceError,
        InputError,
        InvalidTokenError,
        RateLimitedError,
        RequestError,
        RevokedTokenError,
        StateError,
        TokenError,
        TooLargeError,
        UnavailableError,
    )
    from headrace.hooks.callbacks import Callbacks
    from headrace.hooks.webhooks import Webhooks
    from headrace.hub.application import Application, UpdateMessage
    from headrace.hub.presence import PresenceChange
    from headrace.hub.session import Session, Sink
    from headrace.messages.entries import Entry, Receipt
    from headrace.messages.message import Message
    from headrace.messages.position import Position
    from headrace.server.run import run_server
    from headrace.server.server import Server
    from headrace.settings import Settings

_MODULES = {
    "headrace.api.body_stream": ("StreamedResponse",),
    "headrace.api.hub": ("Hub",),
    "headrace.api.responses": ("Response",),
    "headrace.api.router": ("Request", "Route"),
    "headrace.auth.tokens": ("Claims", "TokenSigner"),
    "headrace.client.async_client": ("AsyncClient",),
    "headrace.client.blocking_client": ("Client",),
    "headrace.errors": (
        "ConfigError",
        "ConflictError",
        "ExpiredTokenError",
        "ForbiddenError",
        "FrameError",
        "HeadraceError",
        "InputError",
        "InvalidTokenError",
        "RateLimitedError",
        "RequestError",
        "RevokedTokenError",
        "StateError",
        "TokenError",
        "TooLargeError",
        "UnavailableError",
    ),
    "headrace.hooks.callbacks": ("Callbacks",),
    "headrace.hooks.webhooks": ("Webhooks",),
    "headrace.hub.application": ("Application", "UpdateMessage"),
    "headrace.hub.presence": ("PresenceChange",),
    "headrace.hub.session": ("Session", "Sink"),
    "headrace.messages.entries": ("Entry", "Receipt"),
    "headrace.messages.message": ("Message",),
    "headrace.messages.position": ("Position",),
    "headrace.server.run": ("run_server",),
    "headrace.server.server": ("Server",),
    "headrace.settings": ("Settings",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "Application",
    "AsyncClient",
    "Callbacks",
    "Claims",
    "Client",
    "ConfigError",
    "ConflictError",
    "Entry",
    "ExpiredTokenError",
    "ForbiddenError",
    "FrameError",
    "HeadraceError",
    "Hub",
    "InputError",
    "InvalidTokenError",
    "Message",
    "Position",
    "PresenceChange",
    "RateLimitedError",
    "Receipt",
    "Request",
    "RequestError",
    "Response",
    "RevokedTokenError",
    "Route",
    "Server",
    "Session",
    "Settings",
    "Sink",
    "StateError",
    "StreamedResponse",
    "TokenError",
    "TokenSigner",
    "TooLargeError",
    "UnavailableError",
    "UpdateMessage",
    "Webhooks",
    "__version__",
    "run_server",
]


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'headrace' has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value  # so that the next access does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

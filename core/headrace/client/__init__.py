"""The Python client: create channels, send messages, query presence, and listen.

    from headrace.client import Client

    with Client("http://127.0.0.1:8080", api_key) as client:
        token = client.create_channel("alice").token
        client.send("Your order is ready", to="alice")

`Client` is blocking, `AsyncClient` is for asyncio; both have the same methods. Importing this
package loads no part of the server.
"""

from headrace.client.async_client import AsyncClient
from headrace.client.blocking_client import Client
from headrace.client.errors import (
    ConfigError,
    ExpiredTokenError,
    HeadraceError,
    InputError,
    InvalidTokenError,
    RequestError,
    RevokedTokenError,
    TokenError,
    UnreachableError,
)
from headrace.client.listener import Listener, ListenerEvent, ListenerEventKind
from headrace.client.models import Channel, GroupPresence, Message, Presence, Send, Sent, Stats

__all__ = [
    "AsyncClient",
    "Channel",
    "Client",
    "ConfigError",
    "ExpiredTokenError",
    "GroupPresence",
    "HeadraceError",
    "InputError",
    "InvalidTokenError",
    "Listener",
    "ListenerEvent",
    "ListenerEventKind",
    "Message",
    "Presence",
    "RequestError",
    "RevokedTokenError",
    "Send",
    "Sent",
    "Stats",
    "TokenError",
    "UnreachableError",
]

"""The client of a Headrace server: make channels, send, ask who is there, listen.

    from headrace.client import Client

    with Client("http://127.0.0.1:8080", api_key) as client:
        token = client.create_channel("alice").token
        client.send("Your order is ready", to="alice")

`Client` blocks, `AsyncClient` is for an event loop; both have the same methods.
"""

from headrace.client.aio import AsyncClient
from headrace.client.errors import ConfigError, HeadraceError, RequestError, UnreachableError
from headrace.client.listener import Incident, IncidentKind, Listener
from headrace.client.sync import Client
from headrace.client.values import Channel, GroupPresence, Message, Presence, Send, Sent, Stats

__all__ = [
    "AsyncClient",
    "Channel",
    "Client",
    "ConfigError",
    "GroupPresence",
    "HeadraceError",
    "Incident",
    "IncidentKind",
    "Listener",
    "Message",
    "Presence",
    "RequestError",
    "Send",
    "Sent",
    "Stats",
    "UnreachableError",
]

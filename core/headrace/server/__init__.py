"""The shell around the hub: sockets, the event loop, timers.

An application that runs in the same process has pages and requests of its own beside Headrace's:

    async def hello(call: Call) -> Answer:
        return json_answer({"hello": call.params["name"]})

    Server(settings, routes=[Route("GET", "/hello/{name}", Access.OPEN, hello)])
"""

from headrace.api.answers import Answer, json_answer
from headrace.api.routing import Access, Call, Route
from headrace.server.callbacks import Callbacks
from headrace.server.run import run_server
from headrace.server.server import Server

__all__ = [
    "Access",
    "Answer",
    "Call",
    "Callbacks",
    "Route",
    "Server",
    "json_answer",
    "run_server",
]

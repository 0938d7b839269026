"""The shell around the hub: sockets, the event loop, timers."""

from headrace.server.callbacks import Callbacks
from headrace.server.run import run_server
from headrace.server.server import Server

__all__ = ["Callbacks", "Server", "run_server"]

"""The shell around the hub: sockets, the event loop, timers."""

from headrace.server.run import run_server
from headrace.server.server import Server

__all__ = ["Server", "run_server"]

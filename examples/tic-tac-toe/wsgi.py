"""The game on Headrace, with `main.py` unchanged."""

import headrace.appengine

headrace.appengine.install()

from main import app as application  # noqa: E402 - it imports google.appengine.api

__all__ = ["application"]

"""The game on Headrace: `main.py` as it is, its imports unchanged."""

import headrace.appengine

headrace.appengine.install()

from main import app as application  # noqa: E402 - only now is there a google.appengine.api

__all__ = ["application"]

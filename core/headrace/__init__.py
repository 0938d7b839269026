"""Headrace pushes messages from an application to JavaScript clients in real time."""

from headrace.version import __version__

__all__ = ["__version__"]

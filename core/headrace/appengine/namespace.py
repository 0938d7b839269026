"""Make `headrace.appengine.channel` importable as `google.appengine.api.channel`."""

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec
from types import ModuleType

from headrace.appengine import channel

NAME = "google.appengine.api.channel"


def install() -> None:
    """Make `from google.appengine.api import channel` give `headrace.appengine.channel`.

    Installed packages `google`, `google.appengine` and `google.appengine.api` are used; missing
    ones are created in memory. The `channel` of an installed App Engine SDK is replaced for all
    later imports. A second call does nothing.
    """
    parents = NAME.split(".")[:-1]
    package = _package(parents[0], None)
    for name in parents[1:]:
        child = _package(f"{package.__name__}.{name}", package)
        setattr(package, name, child)
        package = child
    # In the SDK, `channel` is a package that contains a module of the same name.
    for name in (NAME, f"{NAME}.channel"):
        sys.modules[name] = channel
    for holder in (package, channel):
        setattr(holder, "channel", channel)  # noqa: B010 - an attribute that type checkers do not know


def _package(name: str, parent: ModuleType | None) -> ModuleType:
    """Return the package `name`; create it in memory if it is not installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:  # installed, but one of its own imports is missing
            raise
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = _SearchPath(name, parent)  # type: ignore[assignment]  # only iterated over
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    return module


class _SearchPath:
    """The `__path__` of a package created in memory: that of a namespace package (PEP 420).

    It is computed at each use, so that directories added to `sys.path` later are found.
    """

    def __init__(self, name: str, parent: ModuleType | None) -> None:
        self._tail = name.rpartition(".")[2]
        self._parent = parent

    def __iter__(self) -> Iterator[str]:
        parents: Iterable[str] = sys.path if self._parent is None else self._parent.__path__
        directories = (os.path.join(parent, self._tail) for parent in parents)
        return iter([directory for directory in directories if os.path.isdir(directory)])

"""Give `google.appengine.api.channel` its name back."""

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

    Packages `google`, `google.appengine` and `google.appengine.api` that are installed stay as
    they are; those that are not are made up. Where an App Engine SDK has a `channel` of its own,
    it is replaced for all later imports. A second call changes nothing.
    """
    parents = NAME.split(".")[:-1]
    package = _package(parents[0], None)
    for name in parents[1:]:
        child = _package(f"{package.__name__}.{name}", package)
        setattr(package, name, child)
        package = child
    # The SDK's `channel` was a package around a module of the same name.
    for name in (NAME, f"{NAME}.channel"):
        sys.modules[name] = channel
    for holder in (package, channel):
        setattr(holder, "channel", channel)  # noqa: B010 - no attribute that a type checker knows


def _package(name: str, parent: ModuleType | None) -> ModuleType:
    """Return the package `name`, made up where it is not installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:  # it is there, but something that it needs is not
            raise
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = _Portions(name, parent)  # type: ignore[assignment]  # iterated over only
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    return module


class _Portions:
    """The directories of a package that was made up: all that a namespace package would have.

    They are looked for anew each time, so that what is put on `sys.path` later is found.
    """

    def __init__(self, name: str, parent: ModuleType | None) -> None:
        self._tail = name.rpartition(".")[2]
        self._parent = parent

    def __iter__(self) -> Iterator[str]:
        above: Iterable[str] = sys.path if self._parent is None else self._parent.__path__
        places = (os.path.join(place, self._tail) for place in above)
        return iter([place for place in places if os.path.isdir(place)])

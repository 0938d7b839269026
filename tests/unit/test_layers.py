"""Layers 0 to 4 know no event loop, socket, clock or randomness, however they are imported.

`import-linter` checks the layers against each other. This reads the files themselves, so that new
modules, imports inside functions and dynamic imports count as well.
"""

import ast
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import pytest

import headrace

PACKAGE = Path(headrace.__file__).parent
CONFIG = ConfigParser()
CONFIG.read(PACKAGE.parent.parent / "setup.cfg")


SANS_IO = {
    name.removeprefix("headrace.")
    for name in CONFIG["importlinter:contract:sans-io"]["source_modules"].split()
}
LAYERS = CONFIG["importlinter:contract:layers"]["layers"].strip().splitlines()
"""The lines of the layers contract, the highest layer first."""


FORBIDDEN = {
    "_socket",
    "_ssl",
    "_thread",
    "asyncio",
    "concurrent",
    "datetime",
    "http.client",
    "http.server",
    "multiprocessing",
    "random",
    "sched",
    "secrets",
    "select",
    "selectors",
    "signal",
    "socket",
    "socketserver",
    "ssl",
    "subprocess",
    "threading",
    "time",
    "urllib.request",
    "uuid",
    "uvloop",
}
DYNAMIC = {"importlib", "imp", "runpy", "pkgutil"}
CALLS = {"__import__", "compile", "eval", "exec"}


def files_below() -> list[Path]:
    return sorted(file for file in PACKAGE.rglob("*.py") if module_of(file) in SANS_IO)


def module_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def faults(source: str) -> Iterator[str]:
    """Yield what layers 0 to 4 must not have, in a file's source."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *[f"{node.module}.{alias.name}" for alias in node.names]]
        else:
            if isinstance(node, ast.Name) and node.id in CALLS:
                yield f"line {node.lineno}: {node.id}"
            if isinstance(node, ast.Attribute) and node.attr in {"urandom", "getrandom", "modules"}:
                yield f"line {node.lineno}: .{node.attr}"
            continue
        for name in names:
            parts = name.split(".")
            paths = {".".join(parts[: end + 1]) for end in range(len(parts))}
            for bad in paths & (FORBIDDEN | DYNAMIC):
                yield f"line {node.lineno}: import of {bad}"


@pytest.mark.parametrize("file", files_below(), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_layers_0_to_4_import_no_event_loop_socket_clock_or_randomness(file: Path) -> None:
    assert list(faults(file.read_text())) == []


def test_the_files_of_the_layers_are_found() -> None:
    names = {str(file.relative_to(PACKAGE)) for file in files_below()}
    assert names >= {
        "codes.py",
        "settings.py",
        "messages/message.py",
        "auth/tokens.py",
        "hub/core.py",
        "hub/history.py",
        "protocol/websocket/frame_reader.py",
    }
    assert not [name for name in names if name.startswith(("server", "api", "backplane"))]


def test_the_sans_io_contract_names_every_layer_from_the_hub_down() -> None:
    first = next(index for index, line in enumerate(LAYERS) if "hub" in line)
    below = {name.strip() for line in LAYERS[first:] for name in line.replace("|", ":").split(":")}
    assert below == SANS_IO


@pytest.mark.parametrize(
    "source",
    [
        "import asyncio",
        "import os, time as clock",
        "from asyncio import sleep",
        "import asyncio.events",
        "from concurrent.futures import Future",
        "from urllib import request",
        "import urllib.request as get",
        "from http import client",
        "def f():\n    import secrets",
        "if True:\n    from random import random",
        "import importlib\nimportlib.import_module('time')",
        "from importlib import import_module",
        "__import__('socket')",
        "load = __import__",
        "exec('import ssl')",
        "import builtins\neval('1')",
        "import os\nos.urandom(8)",
        "import sys\nsys.modules['time'].sleep(1)",
    ],
)
def test_every_way_to_import_is_found(source: str) -> None:
    assert list(faults(source))


@pytest.mark.parametrize(
    "source",
    [
        "from urllib.parse import urlsplit",
        "from http import HTTPStatus",
        "import re, math, heapq",
        "from headrace.server import time_of_day",
        "from headrace import history",
        "time = 5\nprint(time)",
    ],
)
def test_other_imports_are_allowed(source: str) -> None:
    assert list(faults(source)) == []

"""headrace.appengine.install: the module under the name that applications import."""

import importlib
import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace import appengine
from headrace.appengine import channel


@pytest.fixture
def make_module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Hide all of `google`; return a function that writes modules to a directory on `sys.path`."""
    for name in list(sys.modules):
        if name == "google" or name.startswith("google."):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(channel, "channel", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    def make(path: str, source: str = "") -> None:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
        importlib.invalidate_caches()

    return make


@pytest.fixture
def restore_modules() -> Iterator[None]:
    """Remove what `install` adds, so that other tests do not see it."""
    yield
    for name in list(sys.modules):
        if name == "google" or name.startswith("google."):
            del sys.modules[name]


@pytest.mark.usefixtures("make_module", "restore_modules")
def test_install() -> None:
    appengine.install()
    imported: dict[str, Any] = {}
    exec(
        "from google.appengine.api import channel\n"
        "import google.appengine.api.channel\n"
        "import google.appengine.api.channel as by_name\n"
        "from google.appengine.api.channel import create_channel, InvalidMessageError\n"
        "from google.appengine.api.channel.channel import send_message\n",
        imported,
    )
    assert imported["channel"] is channel
    assert imported["by_name"] is channel
    assert imported["google"].appengine.api.channel is channel
    assert imported["create_channel"] is channel.create_channel
    assert imported["send_message"] is channel.send_message
    assert imported["InvalidMessageError"] is channel.InvalidMessageError
    assert importlib.util.find_spec("google") is not None
    appengine.install()
    assert sys.modules["google"] is imported["google"]
    with pytest.raises(ModuleNotFoundError, match=r"google\.cloud"):
        importlib.import_module("google.cloud")


@pytest.mark.usefixtures("restore_modules")
def test_an_installed_namespace_package_is_used(make_module: Callable[..., None]) -> None:
    make_module("google/protobuf/__init__.py", "NAME = 'protobuf'")
    before = importlib.import_module("google")
    appengine.install()
    assert sys.modules["google"] is before
    assert importlib.import_module("google.protobuf").NAME == "protobuf"
    assert importlib.import_module("google.appengine.api.channel") is channel


@pytest.mark.usefixtures("restore_modules")
def test_a_namespace_package_that_is_added_later_is_found(make_module: Callable[..., None]) -> None:
    appengine.install()
    make_module("google/protobuf/__init__.py", "NAME = 'protobuf'")
    make_module("google/appengine/api/memcache.py", "NAME = 'memcache'")
    assert importlib.import_module("google.protobuf").NAME == "protobuf"
    assert importlib.import_module("google.appengine.api.memcache").NAME == "memcache"


@pytest.mark.usefixtures("restore_modules")
def test_only_the_channel_of_an_installed_sdk_is_replaced(make_module: Callable[..., None]) -> None:
    make_module("google/__init__.py")
    make_module("google/appengine/__init__.py", "NAME = 'sdk'")
    make_module("google/appengine/api/__init__.py")
    make_module("google/appengine/api/memcache.py", "NAME = 'memcache'")
    make_module("google/appengine/api/channel.py", "NAME = 'old'")
    appengine.install()
    assert importlib.import_module("google.appengine").NAME == "sdk"
    assert importlib.import_module("google.appengine.api.memcache").NAME == "memcache"
    assert importlib.import_module("google.appengine.api.channel") is channel
    assert importlib.import_module("google.appengine.api").channel is channel


@pytest.mark.usefixtures("restore_modules")
def test_a_broken_sdk_raises(make_module: Callable[..., None]) -> None:
    make_module("google/__init__.py")
    make_module("google/appengine/__init__.py", "import something_that_is_missing")
    with pytest.raises(ModuleNotFoundError, match="something_that_is_missing"):
        appengine.install()


def test_an_application_with_unchanged_imports(tmp_path: Path) -> None:
    application = tmp_path / "main.py"
    application.write_text(
        "from google.appengine.api import channel\n"
        "try:\n"
        "    channel.create_channel('')\n"
        "except channel.InvalidChannelClientIdError as error:\n"
        "    print(error)\n"
    )
    starter = "import headrace.appengine as a; a.install(); import main"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", starter],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("Client id must not be empty\n", "")

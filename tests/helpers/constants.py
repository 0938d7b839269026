"""Change a constant of the server for one test."""

import sys
from typing import Any

import pytest


def set_server_constant(monkeypatch: pytest.MonkeyPatch, name: str, value: Any) -> None:
    """Set a constant in every module of `headrace.server` that defines or imports it."""
    modules = [
        module
        for module_name, module in sys.modules.items()
        if module_name.startswith("headrace.server.") and hasattr(module, name)
    ]
    assert modules, f"no module of the server has the constant {name}"
    for module in modules:
        monkeypatch.setattr(module, name, value)

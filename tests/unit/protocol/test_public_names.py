"""headrace.protocol: the names that its packages export."""

import importlib

import pytest

PUBLIC = {
    "headrace.protocol.http": (
        *("Body", "EndOfRequest", "HttpConnection", "HttpEvent", "HttpState", "RequestHead"),
    ),
    "headrace.protocol.websocket": (
        *("Close", "FrameReader", "Handshake", "Ping", "Pong", "Text", "WebSocketEvent"),
        *("is_upgrade", "read_handshake"),
    ),
}


@pytest.mark.parametrize("package", PUBLIC)
def test_public_names(package: str) -> None:
    module = importlib.import_module(package)
    assert tuple(module.__all__) == PUBLIC[package]
    assert all(hasattr(module, name) for name in PUBLIC[package])

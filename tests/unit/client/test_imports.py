"""`import headrace.client` loads no part of the server, and no library that it may not need."""

import subprocess
import sys

SERVER_PARTS = ["hub", "protocol", "backplane", "api", "server", "hooks", "cli"]
LIBRARIES = ["click", "prometheus_client", "uvloop", "wsproto", "websockets", "redis", "aiohttp"]

PROGRAM = "import sys, headrace.client; print(*sys.modules)"


def test_the_client_loads_no_part_of_the_server() -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    modules = set(run.stdout.split())
    assert "headrace.client.listener" in modules
    assert modules.isdisjoint([*(f"headrace.{part}" for part in SERVER_PARTS), *LIBRARIES])

"""api/admin/health.py: the probes."""

import pytest
from tests.helpers.fakes_asyncio import new_hub, request_head

from headrace.api.admin.health import health, ready
from headrace.api.context import ApiContext
from headrace.api.router import Request
from headrace.errors import UnavailableError


async def test_healthz_is_ok_in_every_state_and_readyz_until_the_drain() -> None:
    hub = new_hub()
    request = Request(ApiContext(hub), request_head(), {}, None)
    for step, accepts in ((hub.start, True), (hub.drain, False), (hub.close, False)):
        await step()
        assert (await health(request)).body == b'{"status":"ok"}'
        if accepts:
            assert (await ready(request)).body == b'{"status":"ready"}'
        else:
            with pytest.raises(UnavailableError):
                await ready(request)

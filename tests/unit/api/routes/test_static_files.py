"""api/routes/static_files.py: the scripts and the demo page, with their entity tags."""

import pytest
from tests.helpers.fakes_asyncio import new_api, request_head

from headrace.api.responses import Response
from headrace.api.router import Request, Route
from headrace.api.routes.static_files import DEMO_ROUTES, ROUTES


async def get(route: Route, **headers: str) -> Response:
    assert route.handler is not None
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = await route.handler(Request(new_api(), request_head("GET", "/", named), {}, None))
    assert isinstance(response, Response)
    return response


@pytest.mark.parametrize("route", [*ROUTES, *DEMO_ROUTES], ids=lambda route: route.path)
async def test_a_file_is_sent_once_and_then_revalidated(route: Route) -> None:
    response = await get(route)
    headers = dict(response.headers)
    kind = "text/html" if route.path == "/" else "text/javascript"
    assert (response.status, headers["content-type"]) == (200, f"{kind}; charset=utf-8")
    assert headers["cache-control"] == "no-cache"
    assert len(response.body) > 1000
    for known in (headers["etag"], f"W/{headers['etag']}", f'"x", {headers["etag"]}', "*"):
        again = await get(route, if_none_match=known)
        assert (again.status, again.body) == (304, b"")
        assert dict(again.headers)["etag"] == headers["etag"]
    assert (await get(route, if_none_match='"x"')).status == 200


@pytest.mark.parametrize("route", [*ROUTES, *DEMO_ROUTES], ids=lambda route: route.path)
async def test_pages_of_any_origin_may_import_the_scripts_only(route: Route) -> None:
    headers = dict((await get(route)).headers)
    assert headers.get("access-control-allow-origin") == (None if route.path == "/" else "*")

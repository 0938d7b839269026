"""The JavaScript client in both forms, as files for pages."""

import pytest
from tests.helpers.site import Site
from tests.helpers.wire import wire


@pytest.mark.parametrize("path", ["/headrace.js", "/_ah/channel/jsapi"])
async def test_scripts_are_revalidated_by_etag(site: Site, path: str) -> None:
    async with wire(site.port) as client:
        response = await client.fetch("GET", path)
        assert response.status == 200
        assert response.headers["content-type"] == "text/javascript; charset=utf-8"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["access-control-allow-origin"] == "*"
        assert b"Channel" in response.body
        etag = response.headers["etag"]
        for tags in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            cached = await client.fetch("GET", path, f"If-None-Match: {tags}")
            assert (cached.status, cached.body) == (304, b"")
            assert cached.headers["etag"] == etag
        changed = await client.fetch("GET", path, 'If-None-Match: "other"')
        assert (changed.status, changed.body) == (200, response.body)


async def test_query_is_ignored(site: Site) -> None:
    async with wire(site.port) as client:
        assert (await client.fetch("GET", "/_ah/channel/jsapi?v=2")).status == 200

"""api/context.py: the API key and the allowed origins."""

import pytest
from tests.helpers.fakes_asyncio import API_KEY, new_api, new_hub

from headrace.api.context import ApiContext
from headrace.errors import ConfigError


def test_it_has_the_hub_the_key_and_the_origins_of_the_settings() -> None:
    hub = new_hub(allowed_origins=("https://ok.example",))
    context = ApiContext(hub)
    assert context.hub is hub
    assert context.api_key == API_KEY
    assert context.api_authorization == f"Bearer {API_KEY}".encode()
    assert context.origins.allows("https://ok.example", "headrace.test")
    assert not context.origins.allows("https://evil.example", "headrace.test")
    assert not context.demo
    assert ApiContext(hub, demo=True).demo


def test_an_origin_that_cannot_be_used() -> None:
    with pytest.raises(ConfigError, match="allowed_origins"):
        new_api(allowed_origins=("https://ok.example/path",))


def test_the_key_can_be_replaced_and_removed() -> None:
    context = new_api()
    context.use_api_key("newer")
    assert (context.api_key, context.api_authorization) == ("newer", b"Bearer newer")
    context.use_api_key(None)
    assert (context.api_key, context.api_authorization) == (None, b"")

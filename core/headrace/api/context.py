"""The context of a hub's HTTP routes: the hub and its origin policy."""

from headrace.api.hub import Hub
from headrace.auth.origins import OriginPolicy


class ApiContext:
    """The hub, the API key and the allowed origins. `demo` serves the chat room at `/`."""

    __slots__ = ("_api_key", "api_authorization", "demo", "hub", "origins")

    def __init__(self, hub: Hub, *, demo: bool = False) -> None:
        """Raise ConfigError if `allowed_origins` cannot be used."""
        self.hub = hub
        self.demo = demo
        self.origins = OriginPolicy(hub.settings.allowed_origins)
        self.use_api_key(hub.settings.api_key)

    @property
    def api_key(self) -> str | None:
        """The bearer key of the application's routes; None refuses all their requests."""
        return self._api_key

    def use_api_key(self, api_key: str | None) -> None:
        """Require another API key from now on."""
        self._api_key = api_key
        self.api_authorization = b"" if api_key is None else f"Bearer {api_key}".encode()
        """The usual spelling of the header that carries the key; see `Dispatcher.begin`."""

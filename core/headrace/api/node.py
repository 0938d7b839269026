"""What the routes of one process share."""

from headrace.hub import Hub
from headrace.origins import OriginPolicy
from headrace.settings import Settings
from headrace.tokens import TokenSigner


class Node:
    """The hub and what stands before it: tokens and origins. `demo` opens the chat room at `/`."""

    __slots__ = ("demo", "hub", "origins", "settings", "signer", "started_at")

    def __init__(self, settings: Settings, hub: Hub, *, demo: bool = False) -> None:
        """ConfigError where the secrets or the origins cannot be used."""
        self.settings = settings
        self.hub = hub
        self.demo = demo
        self.signer = TokenSigner(
            [secret.encode() for secret in settings.secrets],
            client_id_max_bytes=settings.client_id_max_bytes,
        )
        self.origins = OriginPolicy(settings.allowed_origins)
        self.started_at = hub.clocks.monotonic()

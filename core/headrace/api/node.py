"""What the routes of one process share."""

from headrace import limits
from headrace.api.idempotency import Once
from headrace.bucket import Buckets
from headrace.hub import Hub, Receipt
from headrace.origins import OriginPolicy
from headrace.settings import Settings
from headrace.tokens import Claims, TokenSigner


class Node:
    """The hub and what stands before it: tokens and origins. `demo` opens the chat room at `/`."""

    __slots__ = (
        "api_key",
        "demo",
        "hub",
        "message_buckets",
        "origins",
        "sends",
        "settings",
        "signer",
        "started_at",
    )

    def __init__(self, settings: Settings, hub: Hub, *, demo: bool = False) -> None:
        """ConfigError where the secrets or the origins cannot be used."""
        self.settings = settings
        self.hub = hub
        self.demo = demo
        self.use_keys(settings)
        self.origins = OriginPolicy(settings.allowed_origins)
        self.started_at = hub.clocks.monotonic()
        self.sends: Once[Receipt] = Once(hub.clocks.monotonic)
        self.message_buckets = Buckets(limits.CLIENT_MESSAGES_PER_S, limits.CLIENT_MESSAGES_BURST)

    def use_keys(self, settings: Settings) -> None:
        """Sign and verify with other secrets from now on, and ask for another API key."""
        self.signer = TokenSigner(
            [secret.encode() for secret in settings.secrets],
            client_id_max_bytes=settings.client_id_max_bytes,
        )
        self.api_key = settings.api_key

    def verify(self, token: str) -> Claims:
        """Return a token's claims; TokenError says why it opens nothing."""
        claims = self.signer.verify(token, now=self.hub.clocks.unix())
        self.hub.revocations.check(claims)
        return claims

"""What the routes of one process share."""

from collections.abc import Sequence

from headrace import limits
from headrace.api.idempotency import Once
from headrace.bucket import Buckets
from headrace.hub import Hub, Receipt
from headrace.origins import OriginPolicy
from headrace.settings import Settings
from headrace.tokens import Claims, MintedToken, TokenSigner


class Node:
    """The hub and what stands before it: tokens and origins. `demo` opens the chat room at `/`."""

    __slots__ = (
        "api_key",
        "demo",
        "draining",
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
        self.draining = False  # set once the server goes, so that `/readyz` says it
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

    def mint(
        self,
        client_id: str,
        minutes: float = limits.TOKEN_DEFAULT_MINUTES,
        groups: Sequence[str] = (),
        send: Sequence[str] = (),
    ) -> MintedToken:
        """Return a token that starts at the newest id, so that nothing sent from now on is lost.

        RequestError (400) for what cannot be in a token.
        """
        return self.signer.mint(
            client_id,
            now=self.hub.revocations.not_revoked_at(client_id, self.hub.clocks.unix()),
            minutes=minutes,
            groups=groups,
            send=send,
            pos=str(self.hub.history.latest),
        )

    def verify(self, token: str) -> Claims:
        """Return a token's claims; TokenError says why it opens nothing."""
        claims = self.signer.verify(token, now=self.hub.clocks.unix())
        self.hub.revocations.check(claims)
        return claims

"""Receipts by idempotency key, for sends that may be repeated.

A bounded cache in memory: a receipt lives for `ttl_s` seconds. Dropping one earlier would let a
repeated send be delivered twice, so a full cache refuses new keys instead. A digest of each entry
is kept with its receipt: the same key with other content is an error of the caller, who would
otherwise take the first receipt for that of the second message. Times are seconds of the monotonic
clock.
"""

from collections import OrderedDict
from collections.abc import Iterator
from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec

from headrace.backplane.base import IDEMPOTENCY_S
from headrace.errors import RETRY_AFTER_S, ConflictError, UnavailableError
from headrace.messages.entries import AnyEntry, KeyedReceipt, Receipt

MAX_KEYS: Final = 500_000
"""About 270 MB when full: 1,667 keyed sends a second, all the time, with the default lifetime."""

DIGEST_BYTES: Final = 16

_encode = msgspec.msgpack.Encoder().encode


def digest_of(entry: AnyEntry) -> bytes:
    """Return a digest of an entry's content: its kind, data and target."""
    return blake2b(_encode(entry), digest_size=DIGEST_BYTES).digest()


class _Known(NamedTuple):
    expires_at: float
    receipt: Receipt
    digest: bytes


class IdempotencyCache:
    """The receipts of recent sends that had a key."""

    def __init__(self, *, ttl_s: float = IDEMPOTENCY_S, max_keys: int = MAX_KEYS) -> None:
        self._ttl_s = ttl_s
        self._max_keys = max_keys
        self._known: OrderedDict[str, _Known] = OrderedDict()  # by expiry

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: str, digest: bytes, now: float) -> Receipt | None:
        """Return the receipt of the send with that key; None if it is new and can be put.

        Raise ConflictError if the key was used for other content, UnavailableError if it is new and
        the cache is full.
        """
        self._expire(now)
        known = self._known.get(key)
        if known is None:
            self._check_room(now)
            return None
        if known.digest and known.digest != digest:
            raise ConflictError(
                "the idempotency_key was used for a send with other data or another target in the"
                f" last {self._ttl_s:g} s; use a new key for each message"
            )
        return known.receipt

    def put(self, key: str, digest: bytes, receipt: Receipt, now: float) -> None:
        """Remember a receipt for the full lifetime, after a `get` that returned None."""
        self._known[key] = _Known(now + self._ttl_s, receipt, digest)

    def restore(self, saved: KeyedReceipt, now: float) -> None:
        """Remember a receipt of an earlier process for what is left of its lifetime.

        To be called before the first `put`, in the order of `items`.
        """
        self._known[saved.key] = _Known(now + saved.left_s, saved.receipt, saved.digest)

    def items(self, now: float) -> Iterator[KeyedReceipt]:
        """Yield the receipts that are valid, the oldest first."""
        for key, known in self._known.items():
            if known.expires_at > now:
                yield KeyedReceipt(key, known.expires_at - now, known.receipt, known.digest)

    def _check_room(self, now: float) -> None:
        if len(self._known) < self._max_keys:
            return
        oldest = next(iter(self._known.values()))
        raise UnavailableError(
            f"{self._max_keys} idempotency keys were used in the last {self._ttl_s:g} s, and no"
            " more can be remembered; try again later, or send without a key",
            min(oldest.expires_at - now, RETRY_AFTER_S),
        )

    def _expire(self, now: float) -> None:
        while self._known:
            key, known = next(iter(self._known.items()))
            if known.expires_at > now:
                break
            del self._known[key]

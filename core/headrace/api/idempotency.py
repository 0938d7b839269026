"""Sends that may be repeated: the same key within five minutes means the same send.

The first request with a key does the work; those that come while it is under way, or later, get
its answer. A request that fails is not remembered, so that it can be tried again.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from typing import Generic, TypeVar

from headrace import limits
from headrace.errors import RequestError
from headrace.names import utf8_size

T = TypeVar("T")


class Once(Generic[T]):
    """The answers by key, for `limits.IDEMPOTENCY_S` after each was asked for."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._answers: OrderedDict[str, tuple[float, asyncio.Future[T]]] = (
            OrderedDict()
        )  # the oldest first

    def __len__(self) -> int:
        return len(self._answers)

    def answers(self) -> Iterator[tuple[str, float, T]]:
        """Yield what is remembered: keys, for how many seconds still, and answers."""
        now = self._monotonic()
        for key, (forget_at, answer) in self._answers.items():
            if answer.done():
                yield key, forget_at - now, answer.result()

    def remember(self, key: str, left_s: float, answer: T) -> None:
        """Answer `key` with `answer` for `left_s` seconds, as another process did."""
        remembered: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        remembered.set_result(answer)
        self._answers[key] = (self._monotonic() + left_s, remembered)

    async def do(self, key: str, work: Callable[[], Awaitable[T]]) -> T:
        """Return what `work` returns, or what it returned for the same key.

        RequestError (400) for a key that is empty or over the limit.
        """
        size_bytes = utf8_size("idempotency_key", key)
        if not 1 <= size_bytes <= limits.IDEMPOTENCY_KEY_MAX_BYTES:
            raise RequestError(
                400,
                f"the idempotency_key is {size_bytes} bytes; it must be 1 to"
                f" {limits.IDEMPOTENCY_KEY_MAX_BYTES}: a UUID does",
            )
        self._expire()
        known = self._answers.get(key)
        if known is not None:
            return await asyncio.shield(known[1])
        if len(self._answers) >= limits.IDEMPOTENCY_MAX_KEYS:
            del self._answers[next(iter(self._answers))]
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._answers[key] = (self._monotonic() + limits.IDEMPOTENCY_S, answer)
        try:
            done = await work()
        except BaseException as error:  # a cancellation too must not leave the others waiting
            self._answers.pop(key, None)
            fault = RequestError(
                503,
                "the first request with this idempotency_key has failed; send it again",
                (("retry-after", str(limits.RETRY_AFTER_S)),),
            )
            answer.set_exception(error if isinstance(error, RequestError) else fault)
            answer.exception()  # those who wait get it; it is no leak if nobody does
            raise
        answer.set_result(done)
        return done

    def _expire(self) -> None:
        now = self._monotonic()
        while self._answers:
            key, (forget_at, _) = next(iter(self._answers.items()))
            if forget_at > now:
                break
            del self._answers[key]

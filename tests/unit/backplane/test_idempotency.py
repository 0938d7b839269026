"""backplane/idempotency.py: receipts by key, with a lifetime and a maximum number."""

import pytest

from headrace.backplane.base import IDEMPOTENCY_S
from headrace.backplane.idempotency import MAX_KEYS, IdempotencyCache, digest_of
from headrace.errors import RETRY_AFTER_S, ConflictError, UnavailableError
from headrace.messages.entries import AnyEntry, Entry, Join, KeyedReceipt, Leave, Receipt, Revoke
from headrace.messages.position import Position

NOW = 1000.0
DIGEST = b"the content"


def receipt(number: int) -> Receipt:
    return Receipt(Position(number, 0), number)


def found(cache: IdempotencyCache, keys: str, now: float = NOW) -> list[int | None]:
    """Return the number of the receipt of each key."""
    known = [cache.get(key, DIGEST, now) for key in keys]
    return [None if each is None else each.sessions for each in known]


def filled(keys: str, *, max_keys: int = MAX_KEYS, spacing_s: float = 0) -> IdempotencyCache:
    cache = IdempotencyCache(max_keys=max_keys)
    for number, key in enumerate(keys):
        cache.put(key, DIGEST, receipt(number), NOW + number * spacing_s)
    return cache


def test_a_key_gives_the_receipt_of_its_send() -> None:
    cache = filled("ab")
    assert found(cache, "abab") == [0, 1, 0, 1]
    assert found(cache, "c") == [None]
    assert len(cache) == 2


# --- the lifetime ----------------------------------------------------------------------------


def test_a_receipt_is_kept_for_five_minutes() -> None:
    assert IDEMPOTENCY_S == 300
    cache = filled("a")
    assert found(cache, "a", NOW + 299.9) == [0]
    assert found(cache, "a", NOW + 300) == [None]
    assert len(cache) == 0


def test_a_lookup_does_not_prolong_the_lifetime() -> None:
    cache = filled("a")
    for seconds in (100, 200, 299):
        assert found(cache, "a", NOW + seconds) == [0]
    assert found(cache, "a", NOW + 300) == [None]


def test_expired_keys_are_removed_by_any_lookup() -> None:
    cache = filled("abc", spacing_s=1)
    assert found(cache, "x", NOW + 301) == [None]
    assert len(cache) == 1
    assert found(cache, "abc", NOW + 301) == [None, None, 2]


def test_a_key_can_be_used_again_after_it_expired() -> None:
    cache = filled("a")
    later = NOW + IDEMPOTENCY_S
    assert cache.get("a", b"other content", later) is None
    cache.put("a", DIGEST, receipt(7), later)
    assert found(cache, "a", later + 299) == [7]


# --- the number of keys ----------------------------------------------------------------------


def test_a_full_cache_refuses_new_keys_and_keeps_the_known_ones() -> None:
    cache = filled("abc", max_keys=3, spacing_s=100)
    now = NOW + 200
    with pytest.raises(UnavailableError, match="3 idempotency keys were used in the last 300 s"):
        cache.get("d", DIGEST, now)
    assert found(cache, "abc", now) == [0, 1, 2]
    assert found(cache, "d", NOW + 300) == [None]  # the oldest has expired


@pytest.mark.parametrize(("now", "wait_s"), [(NOW, RETRY_AFTER_S), (NOW + 298, 2)])
def test_a_full_cache_says_when_to_try_again(now: float, wait_s: float) -> None:
    with pytest.raises(UnavailableError) as caught:
        filled("abc", max_keys=3).get("d", DIGEST, now)
    assert caught.value.retry_after_s == wait_s


# --- the content -----------------------------------------------------------------------------


def test_a_key_cannot_be_used_for_other_content() -> None:
    cache = filled("a")
    with pytest.raises(ConflictError, match="use a new key for each message"):
        cache.get("a", b"other content", NOW)
    assert found(cache, "a") == [0]


def test_a_digest_identifies_kind_data_and_target() -> None:
    entries: list[AnyEntry] = [
        Entry(data="x", to=("a",)),
        Entry(data="y", to=("a",)),
        Entry(data="x", to=("a", "b")),
        Entry(data="x", to=("b", "a")),
        Entry(data="x", group="a"),
        Entry(data="x", everyone=True),
        Join("a", "g", 1.0),
        Leave("a", "g", 1.0),
        Revoke("a", 1.0),
    ]
    assert len({digest_of(entry) for entry in entries}) == len(entries)
    assert digest_of(Entry(data="x", to=("a",))) == digest_of(entries[0])


# --- another process -------------------------------------------------------------------------


def test_the_receipts_move_to_another_process_for_the_rest_of_their_lifetime() -> None:
    saved = list(filled("abc", spacing_s=1).items(NOW + 300.5))
    assert saved == [
        KeyedReceipt("b", 0.5, receipt(1), DIGEST),
        KeyedReceipt("c", 1.5, receipt(2), DIGEST),
    ]
    after = IdempotencyCache()
    for each in saved:
        after.restore(each, now=5.0)
    after.put("d", DIGEST, receipt(3), 5.0)
    assert found(after, "abcd", 5.0) == [None, 1, 2, 3]
    assert found(after, "bcd", 5.5) == [None, 2, 3]
    assert found(after, "cd", 6.5) == [None, 3]


def test_a_receipt_without_a_digest_is_valid_for_any_content() -> None:
    """The state of an earlier version has none."""
    cache = IdempotencyCache()
    cache.restore(KeyedReceipt("a", 10, receipt(1), b""), NOW)
    assert cache.get("a", b"any content", NOW) == receipt(1)


@pytest.mark.parametrize("seconds", [0, 299.9])
def test_items_are_not_removed_by_reading_them(seconds: float) -> None:
    cache = filled("ab")
    assert [each.key for each in cache.items(NOW + seconds)] == ["a", "b"]
    assert len(cache) == 2

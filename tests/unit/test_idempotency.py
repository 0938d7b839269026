"""headrace.api.idempotency: the same key, the same answer, and the work is done once."""

import asyncio

import pytest

from headrace import limits
from headrace.api.idempotency import Once
from headrace.errors import RequestError


class Bench:
    """Work that counts how often it was done, and a clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.once: Once[int] = Once(lambda: self.now)
        self.done = 0
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.fault: BaseException | None = None

    async def work(self) -> int:
        self.done += 1
        number = self.done
        await self.may_end.wait()
        if self.fault is not None:
            raise self.fault
        return number

    async def do(self, key: str) -> int:
        return await self.once.do(key, self.work)


async def test_the_same_key_gets_the_same_answer() -> None:
    bench = Bench()
    assert [await bench.do(key) for key in ("a", "b", "a", "a", "b")] == [1, 2, 1, 1, 2]
    assert len(bench.once) == 2


async def test_the_answers_go_over_to_another_process_for_the_rest_of_their_time() -> None:
    before, after = Bench(), Bench()
    await before.do("a")
    before.now += limits.IDEMPOTENCY_S - 10
    await before.do("b")
    before.may_end.clear()
    under_way = asyncio.create_task(before.do("c"))
    await asyncio.sleep(0)
    for key, left_s, answer in before.once.answers():
        after.once.remember(key, left_s, answer)
    before.may_end.set()
    await under_way
    assert [await after.do(key) for key in ("a", "b", "c")] == [1, 2, 1]
    after.now += 10
    assert [await after.do(key) for key in ("a", "b")] == [2, 2]


async def test_who_comes_while_the_work_is_under_way_waits_for_it() -> None:
    bench = Bench()
    bench.may_end.clear()
    tasks = [asyncio.create_task(bench.do("a")) for _ in range(3)]
    await asyncio.sleep(0)
    bench.may_end.set()
    assert await asyncio.gather(*tasks) == [1, 1, 1]


async def test_one_who_gives_up_waiting_spoils_nothing() -> None:
    bench = Bench()
    bench.may_end.clear()
    first, second, third = [asyncio.create_task(bench.do("a")) for _ in range(3)]
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait([second])
    bench.may_end.set()
    assert (await first, await third) == (1, 1)
    assert second.cancelled()


async def test_a_failure_is_told_to_all_who_wait_and_not_remembered() -> None:
    bench = Bench()
    bench.may_end.clear()
    bench.fault = RequestError(413, "too long")
    tasks = [asyncio.create_task(bench.do("a")) for _ in range(2)]
    await asyncio.sleep(0)
    bench.may_end.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [getattr(outcome, "status", None) for outcome in outcomes] == [413, 413]
    bench.fault = None
    assert await bench.do("a") == 2


@pytest.mark.parametrize("fault", [LookupError("ours"), asyncio.CancelledError()])
async def test_a_fault_of_ours_is_an_invitation_to_send_again(fault: BaseException) -> None:
    bench = Bench()
    bench.may_end.clear()
    bench.fault = fault
    first, second = [asyncio.create_task(bench.do("a")) for _ in range(2)]
    await asyncio.sleep(0)
    bench.may_end.set()
    await asyncio.wait([first])
    with pytest.raises(RequestError, match="send it again") as caught:
        await second
    assert caught.value.status == 503
    assert dict(caught.value.headers)["retry-after"]
    with pytest.raises(type(fault)):
        await first


async def test_an_answer_is_kept_for_five_minutes() -> None:
    bench = Bench()
    assert limits.IDEMPOTENCY_S == 300
    assert await bench.do("a") == 1
    bench.now += 299.9
    assert await bench.do("a") == 1
    bench.now += 0.1
    assert await bench.do("a") == 2
    assert len(bench.once) == 1


async def test_too_many_keys_push_out_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "IDEMPOTENCY_MAX_KEYS", 3)
    bench = Bench()
    for key in "abcd":
        await bench.do(key)
    assert len(bench.once) == 3
    assert [await bench.do(key) for key in "dcb"] == [4, 3, 2]
    assert await bench.do("a") == 5


@pytest.mark.parametrize("key", ["x", "x" * 256, "é" * 128])
async def test_keys_of_1_to_256_bytes(key: str) -> None:
    assert await Bench().do(key) == 1


@pytest.mark.parametrize("key", ["", "x" * 257, "é" * 129, "\ud800"])
async def test_other_keys_are_refused(key: str) -> None:
    bench = Bench()
    with pytest.raises(RequestError, match="idempotency_key") as caught:
        await bench.do(key)
    assert (caught.value.status, bench.done) == (400, 0)

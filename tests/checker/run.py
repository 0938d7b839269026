"""One run: start everything, inject the faults while messages are published, and verify."""

import asyncio
import base64
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import aiohttp
from tests.checker.browser import Browser
from tests.checker.checker_client import CheckerClient
from tests.checker.delivery_log import Violation
from tests.checker.fault_proxy import Fault, FaultProxy
from tests.checker.message_generator import GROUPS, MessageGenerator, final_message
from tests.checker.message_id import MessageId
from tests.checker.options import Options
from tests.checker.page_client import PageClient
from tests.checker.poll_client import PollClient
from tests.checker.publisher import Publisher
from tests.checker.restartable_server import (
    RestartableServer,
    ShutdownKind,
    temporary_directory,
)
from tests.checker.schedule import (
    ScheduledAction,
    schedule_clock_steps,
    schedule_faults,
    schedule_shutdowns,
)
from tests.checker.sse_client import SseClient
from tests.checker.verification import LossCauses, Verification
from tests.checker.websocket_client import WebSocketClient

CLIENT_CLASSES: dict[str, type[CheckerClient]] = {
    cls.transport: cls for cls in (WebSocketClient, SseClient, PollClient)
}
FINISH_TIMEOUT_S = 30.0
"""The longest time from the last fault until every client has a final message."""

PAGES_FINISH_TIMEOUT_S = 90.0
"""The same if there are pages: their backoff and their timeout for a dead connection are longer."""

_FINAL_MESSAGE_INTERVAL_S = 5.0
_PROGRESS_STEPS = 20


@dataclass(frozen=True)
class RunResult:
    """The result of a run."""

    verification: Verification
    violations: list[Violation]
    """Violations that concern no single client; those of each client are in `verification`."""
    faults: Counter[str]
    """The number of faults by kind."""
    accepted: int
    retries: int

    @property
    def passed(self) -> bool:
        """True if there is no violation."""
        return self.verification.passed and not self.violations


async def run(options: Options, print_progress: Callable[[str], None]) -> RunResult:
    """Run once; `print_progress` is called with a line for each step."""
    with temporary_directory() as directory:
        return await _Run(options, Path(directory), print_progress).result()


class _Run:
    def __init__(
        self, options: Options, directory: Path, print_progress: Callable[[str], None]
    ) -> None:
        self._options = options
        self._print_progress = print_progress
        self._server = RestartableServer(options, directory)
        self._browser = Browser()
        self._faults: Counter[str] = Counter()
        self._fault_happened = asyncio.Event()
        self._clients: list[CheckerClient] = []
        self._publishers: list[Publisher] = []
        self._proxies: list[FaultProxy] = []  # of the clients, then of the publishers
        self._members: dict[str, set[str]] = {group: set() for group in GROUPS}
        self._published = 0
        self._schedule: list[ScheduledAction] = []  # the next one is the last item
        self._shutdowns: asyncio.Queue[ShutdownKind] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []

    async def result(self) -> RunResult:
        await self._server.start()
        try:
            await self._prepare()
            await self._publish()
            unfinished = await self._finish()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._browser.stop()
            for proxy in self._proxies:
                await proxy.stop()
            await self._server.stop()
        return self._verify(unfinished)

    # --- before publishing ---------------------------------------------------------------------

    async def _prepare(self) -> None:
        options = self._options
        client_ids = [f"client {number}" for number in range(options.clients)]
        async with aiohttp.ClientSession() as http:
            for number, client_id in enumerate(client_ids):
                self._clients.append(await self._make_client(http, number, client_id))
        for number in range(options.publishers):
            proxy = await self._start_proxy()
            name = f"p{number}"
            generator = MessageGenerator(name, client_ids, options.random(f"{name} messages"))
            random = options.random(name)
            publisher = Publisher(self._server, proxy.port, generator, random, self._on_published)
            self._publishers.append(publisher)
        self._make_schedule()
        self._tasks += [asyncio.create_task(client.run()) for client in self._clients]
        self._tasks.append(asyncio.create_task(self._restart_server()))
        await self._browser.start()

    async def _make_client(
        self, http: aiohttp.ClientSession, number: int, client_id: str
    ) -> CheckerClient:
        options = self._options
        random = options.random(client_id)
        groups = random.sample(GROUPS, random.randint(0, 3))
        for group in groups:
            self._members[group].add(client_id)
        token, pos = await self._create_channel(http, client_id, groups)
        proxy = await self._start_proxy()
        transport = options.transports[number % len(options.transports)]
        arguments = (client_id, token, pos, proxy.port, random)
        client: CheckerClient
        if number < options.pages:
            client = PageClient(self._browser, transport, *arguments)
        else:
            client = CLIENT_CLASSES[transport](*arguments)
        client.gap_within_response = options.drops_oldest
        return client

    async def _create_channel(
        self, http: aiohttp.ClientSession, client_id: str, groups: list[str]
    ) -> tuple[str, str]:
        """Return a token and its `pos` claim."""
        body = {"client_id": client_id, "groups": groups, "duration_minutes": 1440}
        headers = {"authorization": f"Bearer {self._server.api_key}"}
        url = f"{self._server.url}/v1/channels"
        async with http.post(url, json=body, headers=headers) as response:
            token = (await response.json())["token"]
        return token, _pos_claim(token)

    async def _start_proxy(self) -> FaultProxy:
        proxy = FaultProxy(self._server.port, self._on_fault)
        await proxy.start()
        self._proxies.append(proxy)
        return proxy

    def _make_schedule(self) -> None:
        """Choose all faults, restarts, kills and clock steps, and when they happen."""
        options, clients = self._options, self._clients
        client_proxies = self._proxies[: len(clients)]
        publisher_proxies = self._proxies[len(clients) :]
        clock_random = options.random("clock")
        schedule = [
            *schedule_faults(options, clients, client_proxies, publisher_proxies, self._hang_up),
            *schedule_shutdowns(options, self._shutdowns.put_nowait),
            *schedule_clock_steps(options, lambda: self._step_clock(clock_random)),
        ]
        self._schedule = sorted(schedule, key=lambda scheduled: scheduled[0], reverse=True)

    # --- while publishing ----------------------------------------------------------------------

    async def _publish(self) -> None:
        """Publish all messages, and wait until all scheduled actions are done."""
        options = self._options
        count = options.publishers
        shares = [options.messages // count + (n < options.messages % count) for n in range(count)]
        rate = options.messages_per_s / count
        await asyncio.gather(
            *[
                publisher.run(share, rate)
                for publisher, share in zip(self._publishers, shares, strict=True)
            ]
        )
        while any(proxy.pending_faults for proxy in self._proxies[: len(self._clients)]):
            self._fault_happened.clear()
            async with asyncio.timeout(FINISH_TIMEOUT_S):
                await self._fault_happened.wait()
        await self._shutdowns.join()

    def _on_published(self, count: int) -> None:
        step_before = self._published * _PROGRESS_STEPS // self._options.messages
        self._published += count
        done = self._published / self._options.messages
        while self._schedule and self._schedule[-1][0] <= done:
            self._schedule.pop()[1]()
        if self._published * _PROGRESS_STEPS // self._options.messages > step_before:
            self._print_progress(f"{self._published} messages, {self._faults.total()} faults")

    def _on_fault(self, fault: Fault) -> None:
        self._count_fault(str(fault.kind))

    def _count_fault(self, kind: str) -> None:
        self._faults[kind] += 1
        self._fault_happened.set()

    def _hang_up(self, client: CheckerClient) -> None:
        self._count_fault("hang up")
        self._tasks.append(asyncio.create_task(client.hang_up()))

    def _step_clock(self, random: Random) -> None:
        offset_s = self._server.step_clock(random)
        self._print_progress(f"the server's clock is off by {offset_s:+.1f} s")

    async def _restart_server(self) -> None:
        random = self._options.random("shutdowns")
        while True:
            kind = await self._shutdowns.get()
            self._print_progress(kind)
            await self._server.restart(kind, random)
            for client in self._clients:
                client.log.add_trace(f"start {self._server.starts} of the server, after: {kind}")
            self._shutdowns.task_done()

    # --- after publishing ----------------------------------------------------------------------

    async def _finish(self) -> list[CheckerClient]:
        """Publish final messages; return the clients that have not received one."""
        self._print_progress("no more faults; waiting for all clients to catch up")
        timeout_s = PAGES_FINISH_TIMEOUT_S if self._options.pages else FINISH_TIMEOUT_S
        waiting = [asyncio.create_task(client.finished.wait()) for client in self._clients]
        for number in range(int(timeout_s / _FINAL_MESSAGE_INTERVAL_S)):
            await self._publishers[0].publish(final_message(number))
            if not (await asyncio.wait(waiting, timeout=_FINAL_MESSAGE_INTERVAL_S))[1]:
                break
        for task in waiting:
            task.cancel()
        return [client for client in self._clients if not client.finished.is_set()]

    def _verify(self, unfinished: list[CheckerClient]) -> RunResult:
        options, server = self._options, self._server
        sent = [message for publisher in self._publishers for message in publisher.sent]
        restarts: tuple[MessageId, ...] = ()
        if not options.lossless_restarts:
            restarts = tuple(server.restarts)
        causes = LossCauses(tuple(server.crashes), restarts, options.evicts)
        members = {group: frozenset(clients) for group, clients in self._members.items()}
        logs = [client.log for client in self._clients]
        verification = Verification(logs, sent, members, causes)
        violations = [*verification.violations]
        violations += [Violation("server", error) for error in server.errors]
        for publisher in self._publishers:
            violations += [Violation("refused", text) for text in publisher.refusals]
        for client in unfinished:
            text = f"{client.log.client_id} did not receive a final message"
            violations.append(Violation("stuck", text))
        retries = sum([publisher.retries for publisher in self._publishers])
        accepted = sum([message.accepted_id is not None for message in sent])
        return RunResult(verification, violations, self._faults, accepted, retries)


def _pos_claim(token: str) -> str:
    """Return the `pos` claim of a token (RFC 7519)."""
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    pos: str = claims["pos"]
    return pos

"""One run: starts everything, lets the faults happen as the publishing goes on, and judges."""

import asyncio
import base64
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import aiohttp
from tests.checker.client import Client
from tests.checker.ids import Id
from tests.checker.journal import Violation
from tests.checker.options import Options
from tests.checker.pages import Browser, PageClient
from tests.checker.plan import Planned, plan_clock, plan_ends, plan_faults
from tests.checker.poll import PollClient
from tests.checker.proxy import Fault, Gate
from tests.checker.publisher import Publisher
from tests.checker.sending import GROUPS, Composer, end_message
from tests.checker.server import End, Server, temporary_directory
from tests.checker.sse import EventStreamClient
from tests.checker.verdict import Ends, Verdict
from tests.checker.websocket import WebSocketClient

CLIENTS: dict[str, type[Client]] = {
    kind.transport: kind for kind in (WebSocketClient, EventStreamClient, PollClient)
}
END_TIMEOUT_S = 30.0
"""From the end of the faults until every client has everything."""

PAGES_END_TIMEOUT_S = 90.0
"""The same where some are pages: they wait longer between tries, and for a dead line."""
_END_INTERVAL_S = 5.0


@dataclass(frozen=True)
class Outcome:
    """What a run came to."""

    verdict: Verdict
    violations: list[Violation]
    """Those of the run as a whole; each client's are in the verdict."""
    faults: Counter[str]
    """How many of each kind happened."""
    accepted: int
    retries: int

    @property
    def holds(self) -> bool:
        """Whether no promise was broken."""
        return self.verdict.holds and not self.violations


async def run(options: Options, say: Callable[[str], None]) -> Outcome:
    """Do one run; `say` is told how it goes."""
    with temporary_directory() as directory:
        return await _Run(options, Path(directory), say).result()


class _Run:
    def __init__(self, options: Options, directory: Path, say: Callable[[str], None]) -> None:
        self._options = options
        self._say = say
        self._server = Server(options, directory)
        self._browser = Browser()
        self._faults: Counter[str] = Counter()
        self._fault_happened = asyncio.Event()
        self._clients: list[Client] = []
        self._publishers: list[Publisher] = []
        self._gates: list[Gate] = []
        self._members: dict[str, set[str]] = {group: set() for group in GROUPS}
        self._published = 0
        self._plan: list[Planned] = []  # the last to come first
        self._ends: asyncio.Queue[End] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []

    async def result(self) -> Outcome:
        await self._server.start()
        try:
            await self._prepare()
            await self._publish()
            stuck = await self._finish()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._browser.stop()
            for gate in self._gates:
                await gate.close()
            await self._server.stop()
        return self._judge(stuck)

    # --- before --------------------------------------------------------------------------------

    async def _prepare(self) -> None:
        options = self._options
        client_ids = [f"client {number}" for number in range(options.clients)]
        async with aiohttp.ClientSession() as http:
            for number, client_id in enumerate(client_ids):
                random = options.random(client_id)
                groups = random.sample(GROUPS, random.randint(0, 3))
                for group in groups:
                    self._members[group].add(client_id)
                token, pos = await self._channel(http, client_id, groups)
                gate = await self._open_gate()
                transport = options.transports[number % len(options.transports)]
                parts = (client_id, token, pos, gate.port, random)
                client: Client
                if number < options.pages:
                    client = PageClient(self._browser, transport, *parts)
                else:
                    client = CLIENTS[transport](*parts)
                client.losses_within = options.drops_oldest
                self._clients.append(client)
        for number in range(options.publishers):
            gate = await self._open_gate()
            name = f"p{number}"
            composer = Composer(name, client_ids, options.random(f"{name} messages"))
            random = options.random(name)
            publisher = Publisher(self._server, gate.port, composer, random, self._progress)
            self._publishers.append(publisher)
        self._make_plan()
        self._tasks += [asyncio.create_task(client.run()) for client in self._clients]
        self._tasks.append(asyncio.create_task(self._end_lives()))
        await self._browser.start()

    async def _channel(
        self, http: aiohttp.ClientSession, client_id: str, groups: list[str]
    ) -> tuple[str, str]:
        """Return a token and its `pos`."""
        body = {"client_id": client_id, "groups": groups, "duration_minutes": 1440}
        headers = {"authorization": f"Bearer {self._server.api_key}"}
        url = f"{self._server.url}/v1/channels"
        async with http.post(url, json=body, headers=headers) as answer:
            token = (await answer.json())["token"]
        return token, _pos_of(token)

    async def _open_gate(self) -> Gate:
        gate = Gate(self._server.port, self._count)
        await gate.open()
        self._gates.append(gate)
        return gate

    def _make_plan(self) -> None:
        """Choose every fault, restart, kill and clock step, and at which part of the messages."""
        options, clients = self._options, self._clients
        gates, publishers = self._gates[: len(clients)], self._gates[len(clients) :]
        clock = options.random("clock")
        plan = [
            *plan_faults(options, clients, gates, publishers, self._hang_up),
            *plan_ends(options, self._ends.put_nowait),
            *plan_clock(options, lambda: self._step(clock)),
        ]
        self._plan = sorted(plan, key=lambda planned: planned[0], reverse=True)

    # --- meanwhile -----------------------------------------------------------------------------

    async def _publish(self) -> None:
        """Let the publishers publish all, and the faults happen as they get on."""
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
        while any(gate.armed for gate in self._gates[: len(self._clients)]):
            self._fault_happened.clear()  # the last ones have still to happen
            async with asyncio.timeout(END_TIMEOUT_S):
                await self._fault_happened.wait()
        await self._ends.join()

    def _progress(self, count: int) -> None:
        before = self._published * 20 // self._options.messages
        self._published += count
        done = self._published / self._options.messages
        while self._plan and self._plan[-1][0] <= done:
            self._plan.pop()[1]()
        if self._published * 20 // self._options.messages > before:
            self._say(f"{self._published} messages, {self._faults.total()} faults")

    def _count(self, fault: Fault) -> None:
        self._note(str(fault.kind))

    def _note(self, kind: str) -> None:
        self._faults[kind] += 1
        self._fault_happened.set()

    def _hang_up(self, client: Client) -> None:
        self._note("hang up")
        self._tasks.append(asyncio.create_task(client.hang_up()))

    def _step(self, random: Random) -> None:
        self._say(f"the server's clock is off by {self._server.step_clock(random):+.1f} s")

    async def _end_lives(self) -> None:
        random = self._options.random("ends")
        while True:
            end = await self._ends.get()
            self._say(end)
            await self._server.restart(end, random)
            for client in self._clients:
                client.journal.note(f"the server's life {self._server.life} after {end}")
            self._ends.task_done()

    # --- after ---------------------------------------------------------------------------------

    async def _finish(self) -> list[Client]:
        """Send the last message; return the clients that did not get it."""
        self._say("the faults are over; everybody catches up")
        timeout_s = PAGES_END_TIMEOUT_S if self._options.pages else END_TIMEOUT_S
        waiting = [asyncio.create_task(client.finished.wait()) for client in self._clients]
        for number in range(int(timeout_s / _END_INTERVAL_S)):
            await self._publishers[0].say(end_message(number))
            if not (await asyncio.wait(waiting, timeout=_END_INTERVAL_S))[1]:
                break
        for task in waiting:
            task.cancel()
        return [client for client in self._clients if not client.finished.is_set()]

    def _judge(self, stuck: list[Client]) -> Outcome:
        options, server = self._options, self._server
        sent = [message for publisher in self._publishers for message in publisher.sent]
        restarts: tuple[Id, ...] = () if options.lossless_restarts else tuple(server.restarts)
        ends = Ends(tuple(server.crashes), restarts, options.evicts)
        members = {group: frozenset(clients) for group, clients in self._members.items()}
        journals = [client.journal for client in self._clients]
        verdict = Verdict(journals, sent, members, ends)
        violations = [*verdict.violations]
        violations += [Violation("server", fault) for fault in server.faults]
        for publisher in self._publishers:
            violations += [Violation("refused", text) for text in publisher.refused]
        for client in stuck:
            text = f"{client.journal.client_id} did not get the last message"
            violations.append(Violation("stuck", text))
        retries = sum([publisher.retries for publisher in self._publishers])
        accepted = sum([message.answered is not None for message in sent])
        return Outcome(verdict, violations, self._faults, accepted, retries)


def _pos_of(token: str) -> str:
    """Return the `pos` claim of a token (RFC 7519)."""
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    pos: str = claims["pos"]
    return pos

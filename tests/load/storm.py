"""One round of `make chaos`: servers under load, while they are killed and their database is restarted."""

import asyncio
import os
import random
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import aiohttp
import psycopg

from tests.load.cluster import Cluster, StopMode
from tests.server import Server

#: Slug of each feature → what its upstreams do, in order of fallback (see tests/provider.py), and how often it is asked.
FEATURES: dict[str, tuple[tuple[str, ...], int]] = {
    "echo": (("echo",), 8),
    "tight": (("echo",), 4),
    "no-usage": (("nousage",), 1),
    "truncated": (("truncated",), 1),
    "rate-limited": (("status:429",), 1),
    "failing": (("status:500",), 1),
    "garbage": (("garbage",), 1),
    "hanging": (("hang",), 1),
    "cut": (("cut",), 2),
    "error-event": (("error-event",), 1),
    "falls-back": (("status:500", "garbage", "echo"), 2),
    "spools": (("echo",), 4),
    "spools-cut": (("cut",), 1),
}
RETRIES = {"falls-back": 1}
#: Those whose calls pass while the database is away, up to this much in an outage.
SPOOLING = {"spools": 1000, "spools-cut": 1000}
#: Callers at a time; they share one event loop and one machine with everything that they call.
CALLERS = 16
LOAD_S = 1.5
#: Longer than any call may take, so that a caller who meets it is a finding.
PATIENCE_S = 30.0

OVERSPENT = """
    SELECT b.feature, b.metric, w.spent, w.held, b.limit FROM tollhouse_window w JOIN tollhouse_budget b ON b.id = w.budget_id
    WHERE w.spent + w.held > b.limit
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What befalls a round, in seconds from its start: kills (when, which server), freezes (when, which server, how
    long) and restarts of the database (when, how, how long it is away).
    """

    kills: list[tuple[float, int]]
    freezes: list[tuple[float, int, float]]
    restarts: list[tuple[float, StopMode, float]]

    @classmethod
    def draw(cls, dice: random.Random, servers: int) -> "Plan":
        """Mostly one server is killed, sometimes all of them or none; now and then one stands still for so long that it
        counts as dead; the database is restarted once, or not at all.
        """
        victims = dice.sample(range(servers), dice.choice([0, 1, 1, 1, servers]))
        modes: list[StopMode] = ["fast", "immediate", "immediate"]
        return cls(
            kills=[(dice.uniform(0.2, LOAD_S), victim) for victim in sorted(victims)],
            freezes=[
                (dice.uniform(0.1, LOAD_S), dice.randrange(servers), dice.uniform(0.5, 2.0))
                for _ in range(dice.choice([0, 0, 0, 1]))
            ],
            restarts=[
                (dice.uniform(0.1, LOAD_S), dice.choice(modes), max(0.0, dice.uniform(-1.5, 1.5)))
                for _ in range(dice.choice([0, 1, 1, 1, 1]))
            ],
        )

    def __str__(self) -> str:
        events = [(at, f"server {number} killed") for at, number in self.kills]
        events += [(at, f"server {number} frozen (for {for_s:.1f} s)") for at, number, for_s in self.freezes]
        events += [(at, f"database {mode} (away {away_s:.1f} s)") for at, mode, away_s in self.restarts]
        return ", ".join(f"{at:.2f} s {what}" for at, what in sorted(events)) or "calm"


@dataclass(slots=True, kw_only=True)
class Answer:
    """What a caller saw. `complete` says that a reply came and was read to its end."""

    marker: str
    feature: str
    complete: bool = False
    cost_usd: str | None = None


@dataclass(slots=True)
class Storm:
    """Runs a plan against the servers; those that were killed are replaced in the list, by what `start` makes.

    `answers` are what callers saw, `broken` what must not be seen at any instant.
    """

    name: str
    plan: Plan
    dice: random.Random
    servers: list[Server]
    start: Callable[[], Server]
    cluster: Cluster
    key: str
    answers: list[Answer] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)

    async def run(self) -> None:
        ends_at = asyncio.get_running_loop().time() + LOAD_S
        watching = asyncio.create_task(self._watch())
        headers = {"authorization": f"Bearer {self.key}"}
        async with (
            aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(PATIENCE_S)) as http,
            asyncio.TaskGroup() as group,
        ):
            for at, mode, away_s in self.plan.restarts:
                group.create_task(self._restart(at, mode, away_s))
            for at, number, for_s in self.plan.freezes:
                group.create_task(self._freeze(at, number, for_s))
            for at, number in self.plan.kills:
                group.create_task(self._kill(at, number))
            for number in range(CALLERS):
                group.create_task(self._caller(http, random.Random(self.dice.random()), number, ends_at))
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching

    async def _kill(self, at: float, number: int) -> None:
        await asyncio.sleep(at)
        self.servers[number].kill()
        self.servers[number] = await asyncio.to_thread(self.start)

    async def _freeze(self, at: float, number: int, for_s: float) -> None:
        await asyncio.sleep(at)
        process = self.servers[number].process
        for sign, wait_s in ((signal.SIGSTOP, for_s), (signal.SIGCONT, 0.0)):
            if process.poll() is None:  # It may be killed before or meanwhile.
                os.killpg(process.pid, sign)
            await asyncio.sleep(wait_s)

    async def _restart(self, at: float, mode: StopMode, away_s: float) -> None:
        await asyncio.sleep(at)
        await asyncio.to_thread(self.cluster.restart, mode, away_s)

    async def _watch(self) -> None:
        """Looks at the windows all the time: no instant may show one above its limit."""
        while True:
            with suppress(psycopg.OperationalError):
                async with await psycopg.AsyncConnection.connect(self.cluster.url, autocommit=True) as connection:
                    while True:
                        rows = await (await connection.execute(OVERSPENT)).fetchall()
                        self.broken |= {
                            f"budget of {feature or 'everything'} in {metric}: {spent} spent and {held} held, of {limit}"
                            for feature, metric, spent, held, limit in rows
                        }
                        await asyncio.sleep(0.02)
            await asyncio.sleep(0.05)

    async def _caller(self, http: aiohttp.ClientSession, dice: random.Random, number: int, ends_at: float) -> None:
        slugs, weights = list(FEATURES), [weight for _, weight in FEATURES.values()]
        made = 0
        while asyncio.get_running_loop().time() < ends_at:
            [feature] = dice.choices(slugs, weights)
            answer = Answer(marker=f"{self.name}-{number}-{made}", feature=feature)
            self.answers.append(answer)
            made += 1
            patience_s = dice.uniform(0.0, 0.5) if dice.random() < 0.1 else PATIENCE_S
            url = f"{dice.choice(self.servers).url}/v1/chat/completions"
            try:
                async with asyncio.timeout(patience_s):
                    await self._call(http, url, answer, stream=dice.random() < 0.5)
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)  # A killed server refuses at once.
            except TimeoutError:
                if patience_s == PATIENCE_S:
                    self.broken.add(f"call {answer.marker} of {feature}: no answer within {PATIENCE_S:.0f} s")

    async def _call(self, http: aiohttp.ClientSession, url: str, answer: Answer, *, stream: bool) -> None:
        text = f"{answer.marker} {'and so on, ' * 6}"
        body = {"model": answer.feature, "stream": stream, "messages": [{"role": "user", "content": text}]}
        async with http.post(url, json=body, headers={"x-tollhouse-session": answer.marker}) as response:
            answer.cost_usd = response.headers.get("x-tollhouse-cost-usd")
            read = await response.text()
        answer.complete = response.status == 200 and (not stream or read.endswith("data: [DONE]\n\n"))

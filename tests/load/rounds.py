"""The rounds of `make chaos`: storm, rest, accounts."""

import asyncio
import random
import subprocess
import sys
import time
from collections import Counter
from decimal import Decimal
from functools import reduce
from operator import or_
from typing import IO, Any, Self

from django.db import connection
from django.db.models import F

from budgets.models import Budget, RateLimit
from gateway.models import Call
from tests.load import accounts
from tests.load.cluster import Cluster
from tests.load.storm import FEATURES, RETRIES, SPOOLING, Plan, Storm
from tests.provider import MockProvider
from tests.server import ROOT, Server
from tests.world import World

SERVERS = 2
#: Sessions of each server with the database: the ledger's, the catalog's that listens, and the one that replays the spool.
SESSIONS = 3
#: Settings of the servers, so that what they give up they give up within a round.
IMPATIENT = {
    "TOLLHOUSE_CATALOG_POLL_S": "0.5",
    "TOLLHOUSE_LEDGER_TIMEOUT_S": "1",
    "TOLLHOUSE_OWNER_HEARTBEAT_S": "0.2",
    "TOLLHOUSE_OWNER_DEAD_AFTER_S": "0.8",
}
#: How long everything may take to come to rest after a round, before what is left counts as left over; seconds.
REST_S = 30.0
#: What every round adds to the tight budget: room for some of the calls that want it.
TIGHT_USD = Decimal("0.01")
BUDGETS: list[dict[str, Any]] = [
    {"limit": 10**6},
    {"limit": 10**9, "metric": "calls", "period": "week"},
    {"limit": 10**6, "model": "echo", "period": "month"},
    {"limit": 10**9, "feature": "echo", "metric": "tokens"},
    {"limit": 10**9, "feature": "falls-back", "metric": "tokens", "period": "month"},
    {"limit": 0, "feature": "tight"},
]
RATE_LIMITS: list[dict[str, Any]] = [
    {"requests_per_minute": 10**6, "tokens_per_minute": 10**9, "concurrent": 10**4},
    {"requests_per_minute": 10**6, "each": "key"},
    {"requests_per_minute": 600, "tokens_per_minute": 10**6, "concurrent": 2, "burst_s": 1, "feature": "falls-back"},
]


class Chaos:
    """Servers, worker and upstream that live through all rounds on the cluster; as a context manager it stops them."""

    def __init__(self, cluster: Cluster, seed: int, log: IO[bytes]) -> None:
        self.cluster = cluster
        self.seed = seed
        self.log = log
        self.provider = MockProvider()
        self.provider.pause_s = 0.01
        self.servers: list[Server] = []
        self.idle: Counter[str] = Counter()

    def __enter__(self) -> Self:
        self.provider.__enter__()
        world = World(self.provider.base_url)
        for slug, (models, _) in FEATURES.items():
            spool = {"on_ledger_away": "spool", "spool_limit_usd": SPOOLING[slug]} if slug in SPOOLING else {}
            world.feature(slug, *models, route={"timeout_s": 1, "retries": RETRIES.get(slug, 0)}, **spool)
        self.key = world.key()
        for budget in BUDGETS:
            Budget.objects.create(**budget)
        for limit in RATE_LIMITS:
            RateLimit.objects.create(**limit)
        command = [sys.executable, "manage.py", "worker"]
        self.worker = subprocess.Popen(command, cwd=ROOT, stdout=self.log, stderr=self.log)
        self.servers += [self._start() for _ in range(SERVERS)]
        self.idle = reduce(or_, map(accounts.census, self.servers))
        return self

    def __exit__(self, *error: object) -> None:
        for server in self.servers:
            if server.process.poll() is None:
                server.kill()
        if self.worker.poll() is None:
            self.worker.kill()
            self.worker.wait()
        self.provider.__exit__()
        connection.close()

    def round(self, number: int) -> list[str]:
        """One round; returns the broken rules. Number 0 is calm, so that pools of threads that stay are there after it."""
        began = time.monotonic()
        dice = random.Random(f"{self.seed}/{number}")
        Budget.objects.filter(feature="tight").update(limit=F("limit") + TIGHT_USD)
        connection.close()
        storm = Storm(
            name=f"r{number}", plan=Plan.draw(dice, SERVERS) if number else Plan(kills=[], freezes=[], restarts=[]), dice=dice,
            servers=self.servers, start=self._start, cluster=self.cluster, key=self.key,
        )  # fmt: skip
        asyncio.run(storm.run())
        if number == 0:
            threads = (Counter({k: n for k, n in accounts.census(s).items() if "thread" in k}) for s in self.servers)
            self.idle = reduce(or_, threads, self.idle)
        broken = sorted(storm.broken) + self._rest()
        served = self._served(f"r{number}-")
        broken += accounts.of_calls(served, storm.answers, f"r{number}-")
        broken += accounts.of_windows() + accounts.of_buckets()
        outcomes = Counter(Call.objects.filter(session_id__startswith=f"r{number}-").values_list("outcome", flat=True))
        connection.close()
        told = ", ".join(f"{n} {outcome}" for outcome, n in outcomes.most_common())
        print(
            f"{number}: {time.monotonic() - began:.1f} s; {storm.plan}; {len(served)} calls served; {told}", flush=True
        )
        return broken

    def end(self) -> list[str]:
        """Stops servers and worker in order, and looks at all calls of all rounds once more."""
        for server in self.servers:
            server.stop()
        self.worker.terminate()
        broken = [] if self.worker.wait(20) == 0 else [f"worker: it ended with {self.worker.returncode}"]
        broken += accounts.spooled()
        broken += [f"database: sessions after the end: {dict(left)}"] if (left := accounts.sessions()) else []
        return broken + accounts.of_calls(self._served("r"), [], "r") + accounts.of_windows() + accounts.of_buckets()

    def summary(self) -> str:
        """What was done in all rounds, in one line."""
        outcomes = Counter(Call.objects.values_list("outcome", flat=True))
        adjusted = accounts.late().count()
        spooled = Call.objects.filter(spooled=True).count()
        return (
            f"Every rule holds: {outcomes.total()} calls, {outcomes['lost']} lost, {adjusted} of them settled late, "
            f"{spooled} spooled"
        )

    def _rest(self) -> list[str]:
        """Waits until all is quiet and every hold is settled; what is not, after some time."""
        ends_at = time.monotonic() + REST_S
        while True:
            left = accounts.left_over(self.servers, self.provider, self.idle, SERVERS * SESSIONS) + accounts.spooled()
            if (not left and not accounts.holds()) or time.monotonic() > ends_at:
                return left
            time.sleep(0.1)

    def _served(self, prefix: str) -> Counter[str]:
        """How many requests the upstream has had, by marker."""
        markers = (body["messages"][-1]["content"].partition(" ")[0] for body in self.provider.requests)
        return Counter(marker for marker in markers if marker.startswith(prefix))

    def _start(self) -> Server:
        """A new server; as any supervisor would, it tries again where there was no database to start with."""
        for _ in range(20):
            try:
                return Server("tests.load.census:application", log=self.log, **IMPATIENT)
            except RuntimeError:
                time.sleep(0.2)
        raise RuntimeError("no server could be started; see the log")

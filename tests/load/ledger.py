"""The ledger alone, without HTTP: `tests.load.bench` with `ledger` and `budgets`."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from statistics import median

import psutil
import uvloop

#: How many tenants, and how many budgets of other scopes, `budgets` compares with few.
TENANTS, OTHER_BUDGETS = 10_000, 1000


def cpu_s(process: psutil.Process) -> float:
    """CPU time that a process and its children have used so far."""
    times = [p.cpu_times() for p in (process, *process.children(recursive=True))]
    return sum(t.user + t.system for t in times)


def postgres() -> psutil.Process:
    """The database server, which has to be on this machine."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        # A session's process is the server's child.
        found = psutil.Process(cursor.fetchone()[0]).parent()
    connection.close()
    assert found is not None
    return found


async def throughput(
    concurrency: int, seconds: float, database: psutil.Process, *, tenants: int = 1
) -> tuple[float, ...]:
    """The ledger alone: hold, settle and row, synchronous commit; of so many tenants in turn.

    Calls a second, and the CPU time of this process and of the database for each, in µs.
    Each of several tenants has called once before the clock starts, so that its window is known.
    """
    from gateway.ledger import Grant
    from tests.gateway.ledger.calls import a_writer, hold_of, settle_of

    done, most, ends_at = 0, 0, 0.0

    async def calls(writer):  # type: ignore[no-untyped-def]
        nonlocal done
        while done < most or time.perf_counter() < ends_at:
            hold = hold_of(Decimal("0.001"), tenant=f"tenant-{done % tenants}")
            done += 1
            grant = await writer.hold(hold)
            assert isinstance(grant, Grant)
            await writer.settle(settle_of(hold, grant, "0.0005"))

    async with a_writer() as writer:
        most = tenants if tenants > 1 else 0
        await asyncio.gather(*(calls(writer) for _ in range(128)))
        most, before, ends_at = 0, done, time.perf_counter() + seconds
        used = time.process_time(), cpu_s(database)
        await asyncio.gather(*(calls(writer) for _ in range(concurrency)))
        ours, theirs = time.process_time() - used[0], cpu_s(database) - used[1]
    count = done - before
    return count / seconds, ours / count * 1e6, theirs / count * 1e6


def budgets(rounds: int) -> None:
    """The ledger's throughput under several kinds of budgets, in turn within each round, as shares of that under one."""
    from django.db import connection

    from budgets.models import Budget, Window

    most = {"limit": 10**9, "feature": "f", "period": "month"}
    five = [{}, {"feature": ""}, {"metric": "tokens", "limit": 10**17}, {"metric": "calls"}, {"period": "day"}]
    others = [{"feature": f"other.{number}"} for number in range(OTHER_BUDGETS)]
    cases: dict[str, tuple[list[dict[str, object]], int]] = {
        "one budget": ([{}], 1),
        "five budgets on each call": (five, 1),
        f"one, beside {OTHER_BUDGETS:,} of other scopes": ([{}, *others], 1),
        "one of each tenant, 10 tenants": ([{"each": ["tenant"]}], 10),
        f"one of each tenant, {TENANTS:,} tenants": ([{"each": ["tenant"]}], TENANTS),
    }

    def set_up(given: list[dict[str, object]], tenants: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE tollhouse_budget, tollhouse_window, tollhouse_hold, tollhouse_budget_raise")
        made = Budget.objects.bulk_create([Budget(**{**most, **values}) for values in given])
        start, end = made[0].window_at(datetime.now(UTC))
        names = [f"tenant-{number}" for number in range(tenants)] if made[0].each else []
        Window.objects.bulk_create([Window(budget=made[0], value=n, starts_at=start, ends_at=end) for n in names])
        connection.close()

    database = postgres()
    for concurrency in (1, 32):
        runs: dict[str, list[tuple[float, ...]]] = {name: [] for name in cases}
        for _ in range(rounds):
            for name, (given, tenants) in cases.items():
                set_up(given, tenants)
                runs[name].append(uvloop.run(throughput(concurrency, 2.0, database, tenants=tenants)))
        print(
            f"\n| ledger alone, {concurrency} concurrent | calls a second | to one budget | CPU a call, µs | of PostgreSQL, µs |"
        )
        print("| --- | --- | --- | --- | --- |")
        base = median(rate for rate, *_ in runs["one budget"])
        for name, found in runs.items():
            rate, ours, theirs = map(median, zip(*found, strict=True))
            print(f"| {name} | {rate:.0f} | {rate / base:.2f} | {ours:.0f} | {theirs:.0f} |", flush=True)


@contextmanager
def rate_limit(**scope: str) -> Iterator[None]:
    """A rate limit on every call, which lets all of them pass."""
    from budgets.models import RateLimit
    from budgets.rates import MOST_PER_MINUTE as MOST

    RateLimit.objects.create(**scope, requests_per_minute=MOST, tokens_per_minute=MOST, concurrent=MOST)
    try:
        yield
    finally:
        RateLimit.objects.all().delete()


def ledger(rounds: int) -> None:
    """The ledger's throughput, with and without a rate limit on each call, in turn."""
    for concurrency in (1, 32, 256):
        rates: dict[str, list[float]] = {"": [], ", under a rate limit": []}
        for _ in range(rounds):
            rates[""].append(uvloop.run(throughput(concurrency, 2.0, postgres()))[0])
            with rate_limit():
                rates[", under a rate limit"].append(uvloop.run(throughput(concurrency, 2.0, postgres()))[0])
        for what, found in rates.items():
            print(
                f"Ledger alone, {concurrency} concurrent{what}: {median(found):.0f} calls a second (hold + settle + row).",
                flush=True,
            )

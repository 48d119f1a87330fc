"""Reads of the ledger's own connection that are not part of deciding."""

from zoneinfo import ZoneInfo

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from budgets.rates import LimitRule
from budgets.rules import BudgetRule, Rules, Scope, SwitchRule
from gateway.sql import queries

SQL = queries("ledger.sql")


async def load_rules(connection: AsyncConnection[TupleRow], revision: int | None) -> Rules:
    """All active budgets, switches and rate limits, as the connection's transaction sees them.

    `revision` was read before, so that rules changed meanwhile are read again next time, never missed.
    """
    async with connection.pipeline():
        budgets = await connection.execute(SQL["budgets"])
        switches = await connection.execute(SQL["switches"])
        limits = await connection.execute(SQL["rate_limits"])
    return Rules(
        revision=revision,
        budgets=[
            BudgetRule(
                id=row[0], scope=Scope(*row[1:8]), metric=row[8], period=row[9], zone=ZoneInfo(row[10]),
                limit=row[11], soft_percent=row[12], on_hard=row[13],
            )
            async for row in budgets
        ],
        switches=[SwitchRule(scope=scope, value=value, reason=reason) async for scope, value, reason in switches],
        limits=[
            LimitRule(
                id=row[0], scope=row[1:6], each=row[6], requests_per_minute=row[7], tokens_per_minute=row[8],
                concurrent=row[9], burst_s=row[10],
            )
            async for row in limits
        ],
    )  # fmt: skip

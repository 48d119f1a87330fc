"""Reads of the ledger's own connection that are not part of deciding."""

from zoneinfo import ZoneInfo

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from budgets.rates import LimitRule
from budgets.rules import BudgetRule, RaiseRule, RateRule, Rules, Scope, SwitchRule
from gateway.sql import queries

SQL = queries("ledger.sql")


async def load_rules(connection: AsyncConnection[TupleRow], revision: int | None) -> Rules:
    """All active budgets with their raises and rates, all switches and rate limits, as the connection's transaction sees them.

    `revision` was read before, so that rules changed meanwhile are read again next time, never missed.
    """
    async with connection.pipeline():
        budgets = await connection.execute(SQL["budgets"])
        raises = await connection.execute(SQL["raises"])
        last_raises = await connection.execute(SQL["last_raises"])
        rates = await connection.execute(SQL["rates"])
        switches = await connection.execute(SQL["switches"])
        limits = await connection.execute(SQL["rate_limits"])
    return Rules(
        revision=revision,
        budgets=[budget_rule(row) async for row in budgets],
        raises=[RaiseRule(*row) async for row in raises],
        last_raises={(budget, value): id async for budget, value, id in last_raises},
        rates=[RateRule(*row) async for row in rates],
        switches=[switch_rule(row) async for row in switches],
        limits=[
            LimitRule(
                id=row[0], scope=row[1:6], each=row[6], requests_per_minute=row[7], tokens_per_minute=row[8],
                concurrent=row[9], burst_s=row[10],
            )
            async for row in limits
        ],
    )  # fmt: skip


async def read_cuts(connection: AsyncConnection[TupleRow]) -> list[SwitchRule]:
    """The switches in force that cut calls under way."""
    return [switch_rule(row) async for row in await connection.execute(SQL["cuts"])]


def budget_rule(row: TupleRow) -> BudgetRule:
    return BudgetRule(
        id=row[0], scope=Scope(*row[1:8]), each=tuple(row[8]), metric=row[9], currency=row[10], period=row[11],
        starts_on=row[12], ends_on=row[13], calendar=row[14], zone=ZoneInfo(row[15]), limit=row[16],
        soft_percents=tuple(row[17]), on_hard=row[18],
    )  # fmt: skip


def switch_rule(row: TupleRow) -> SwitchRule:
    scope, value, reason, tenant, expires_at = row
    return SwitchRule(scope=scope, value=value, reason=reason, tenant=tenant, expires_at=expires_at)

"""Reads of the ledger's own connection that are not part of deciding."""

from zoneinfo import ZoneInfo

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from budgets.rules import BudgetRule, Rules, Scope, SwitchRule
from gateway.sql import queries

SQL = queries("ledger.sql")


async def load_rules(connection: AsyncConnection[TupleRow], revision: int | None) -> Rules:
    """All active budgets and switches, as the connection's transaction sees them.

    `revision` was read before, so that rules changed meanwhile are read again next time, never missed.
    """
    async with connection.pipeline():
        budgets = await connection.execute(SQL["budgets"])
        switches = await connection.execute(SQL["switches"])
    return Rules(
        revision=revision,
        budgets=[
            BudgetRule(
                id=row[0], scope=Scope(*row[1:8]), metric=row[8], period=row[9], zone=ZoneInfo(row[10]),
                limit=row[11], soft_percent=row[12], on_hard=row[13],
            )
            async for row in budgets
        ],
        switches=[switch_rule(row) async for row in switches],
    )  # fmt: skip


async def read_cuts(connection: AsyncConnection[TupleRow]) -> list[SwitchRule]:
    """The switches in force that cut calls under way."""
    return [switch_rule(row) async for row in await connection.execute(SQL["cuts"])]


def switch_rule(row: TupleRow) -> SwitchRule:
    scope, value, reason, tenant, expires_at = row
    return SwitchRule(scope=scope, value=value, reason=reason, tenant=tenant, expires_at=expires_at)

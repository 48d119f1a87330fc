"""Kinds of rows with a time to live: the gate's own, and those of apps that register theirs."""

import re
from dataclasses import dataclass, fields

from django.core.exceptions import ImproperlyConfigured
from django.db import migrations

from gateway.conf import settings

CALL, PAYLOAD = "call", "payload"
NAME = re.compile(r"[a-z][a-z0-9_]*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptTable:
    """A table of an app whose rows expire, and by which columns they are found.

    `kind` is the word that rules and settings call its rows by, e.g. `review`; `keep_days` the time where neither says
    otherwise. `at` is the timestamp column that a row's age is counted from; a row without one does not expire. Where that
    column says itself when a row expires, `keep_days` is 0, and no setting or rule changes it. The other columns hold a
    feature's slug, a tenant, a user reference and a session as calls do; empty where the table has no such column. `call`
    is the id of the call that a row is of, `author` the user reference of who made the row, where that may be somebody else.
    Without `user_ref`, `author`, `session` and `call` nothing of it is found for a person's export and erasure.
    """

    kind: str
    table: str
    keep_days: int
    at: str = "created_at"
    feature: str = ""
    tenant: str = ""
    user_ref: str = ""
    session: str = ""
    call: str = ""
    author: str = ""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is str and value and not NAME.match(value):
                raise ValueError(f"{field.name}={value!r} must be lower-case letters, digits and underscores.")
        if not (self.kind and self.table and self.at) or self.kind in (CALL, PAYLOAD):
            raise ValueError("A kept table needs a kind that is not the gate's own, a table, and a column of time.")
        if self.keep_days < 0:
            raise ValueError(
                f"keep_days={self.keep_days} must be one day or more, or 0 where {self.at} says when rows expire."
            )
        if self.keep_days == 0 and self.feature:
            raise ValueError("A kind whose rows say themselves when they expire has no rules by feature.")


#: The gate's own tables beside calls and payloads. An alert's age is counted from its end, and its deliveries go with it.
#: Windows of budgets are counted from their end: a budget of each user has one for every user and period.
#: Trips of breakers are counted from their beginning, as one whose process ended has no end.
#: Pseudonyms of sessions are deleted as soon as their session is over, for which `jobs/sessions.py` looks more often. Files of
#: exports go with them.
OWN = (
    KeptTable(
        kind="alert", table="tollhouse_alert", keep_days=400, at="resolved_at", feature="feature", tenant="tenant"
    ),
    KeptTable(kind="window", table="tollhouse_window", keep_days=400, at="ends_at"),
    KeptTable(kind="breaker_trip", table="tollhouse_breaker_trip", keep_days=400, at="opened_at"),
    KeptTable(
        kind="session_map",
        table="tollhouse_session_map",
        keep_days=0,
        at="expires_at",
        tenant="tenant",
        user_ref="user_ref",
    ),
    KeptTable(
        kind="dataset_item",
        table="tollhouse_dataset_item",
        keep_days=400,
        feature="feature",
        tenant="tenant",
        user_ref="user_ref",
        call="call_id",
    ),
    KeptTable(kind="export", table="tollhouse_export", keep_days=0, at="expires_at"),
    KeptTable(
        kind="score",
        table="tollhouse_score",
        keep_days=400,
        at="called_at",
        feature="feature",
        tenant="tenant",
        user_ref="user_ref",
        call="call_id",
        author="author",
    ),
    KeptTable(
        kind="step",
        table="tollhouse_step",
        keep_days=90,
        at="began_at",
        tenant="tenant",
        user_ref="user_ref",
        session="session_id",
        call="parent",
    ),
)
#: What was registered, by kind.
REGISTERED: dict[str, KeptTable] = {table.kind: table for table in OWN}


def keep(table: KeptTable) -> None:
    """Registers an app's table: its expired rows are removed, and a person's rows in it exported and erased.

    Call it in the app's `ready`. Raises ValueError where another table has that kind already.
    """
    if REGISTERED.setdefault(table.kind, table) != table:
        raise ValueError(f"The kind {table.kind} is registered already, for {REGISTERED[table.kind].table}.")


def hide_expired(table: KeptTable) -> migrations.RunSQL:
    """An operation for the app's migrations: expired rows of the table are invisible from the moment they expire."""
    kept = f"(SELECT tollhouse_keep_days_v1('{table.kind}'))"
    feature = f"{kept} ->> {table.feature}, " if table.feature else ""
    name = table.table
    visible = (
        f"({table.at} > now() - coalesce({feature}{kept} ->> '', '36500')::int * interval '24 hours') IS NOT FALSE"
    )
    if table.feature:
        # What is younger than any feature's rows are kept is visible without a look at its own feature.
        shortest = f"SELECT now() - min(value::int) * interval '24 hours' FROM jsonb_each_text({kept})"  # noqa: S608 (checked names)
        visible = f"{table.at} > ({shortest}) OR {visible}"
    visible = f"(SELECT tollhouse_sees_expired_v1()) OR {visible}"
    return migrations.RunSQL(
        f"""
        ALTER TABLE {name} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
        CREATE POLICY tollhouse_unexpired ON {name} FOR SELECT USING ({visible});
        CREATE POLICY tollhouse_insert ON {name} FOR INSERT WITH CHECK (true);
        CREATE POLICY tollhouse_update ON {name} FOR UPDATE USING ({visible}) WITH CHECK (true);
        CREATE POLICY tollhouse_delete ON {name} FOR DELETE USING (true);
        """,
        f"""
        DROP POLICY tollhouse_unexpired ON {name};
        DROP POLICY tollhouse_insert ON {name};
        DROP POLICY tollhouse_update ON {name};
        DROP POLICY tollhouse_delete ON {name};
        ALTER TABLE {name} NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
        """,
    )


def defaults() -> dict[str, int]:
    """How many days each kind is kept where no rule says otherwise. Raises ImproperlyConfigured for a wrong setting."""
    given = settings()
    found = {CALL: given.RETENTION_CALLS_DAYS, PAYLOAD: given.RETENTION_PAYLOADS_DAYS}
    found |= {kind: table.keep_days for kind, table in REGISTERED.items()}
    for entry in given.RETENTION_DAYS:
        kind, _, days = entry.partition("=")
        if kind in (CALL, PAYLOAD) or not NAME.match(kind) or not days.isdecimal():
            raise ImproperlyConfigured(
                f"TOLLHOUSE['RETENTION_DAYS'] has {entry!r}; write a kind and days, e.g. review=90. Calls and payloads have "
                "settings of their own."
            )
        if kind in found and found[kind] == 0:
            raise ImproperlyConfigured(
                f"TOLLHOUSE['RETENTION_DAYS'] has {entry!r}; rows of that kind say themselves when they expire: leave it out."
            )
        if kind in found:
            found[kind] = int(days)
    own = {kind for kind, table in REGISTERED.items() if table.keep_days == 0}
    if wrong := [kind for kind, days in found.items() if not 1 <= days <= 36_500 and kind not in own]:
        raise ImproperlyConfigured(f"Retention of {', '.join(wrong)} must be 1 to 36500 days.")
    return found

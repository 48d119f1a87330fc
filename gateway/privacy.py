"""A person's rights: everything that is kept of one, as JSON, and its erasure. The money stays.

A person is known by the user reference that calls hold: a keyed hash of the id that the application passed, unless the
setting USER_REF says otherwise.
"""

import hmac
import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection

from gateway.keys import pepper
from gateway.models import AuditEntry
from gateway.retention import legal
from gateway.retention.derived import DERIVED
from gateway.retention.kinds import REGISTERED, KeptTable
from gateway.retention.remove import seeing_expired
from gateway.sql import queries

_sql = queries("person.sql")


class CannotErase(Exception):
    """A legal hold is in force; the message says which, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Where a person's data is: the ids of calls, and of these the tenants and the sessions, each with its tenant."""

    user_ref: str
    calls: Sequence[UUID]
    tenants: Sequence[str]
    sessions: Sequence[tuple[str, str]]


def export(user_ref: str, *, actor: str, reason: str = "") -> dict[str, Any]:
    """Everything that is kept of the person, as JSON's types, by kind of row. An entry of the audit log says that it was read.

    Rows that have expired and are still there, e.g. under a legal hold, are among them. Raises ValueError without a reference.
    """
    _refuse_nobody(user_ref)
    with seeing_expired():
        person = _find(user_ref)
        found: dict[str, Any] = {"user_ref": user_ref, "sessions": sorted({id for _, id in person.sessions})}
        for name in ("calls", "payloads", "adjustments"):
            found[name] = _rows(_sql[f"read_{name}"], [list(person.calls)])
        for table in REGISTERED.values():
            if where := _where(table):
                query = f"SELECT row_to_json(t) FROM {table.table} t WHERE {where} ORDER BY t.{table.at}"  # noqa: S608 (checked names)
                found[table.kind] = _rows(query, _values(person))
        counts = {name: len(rows) for name, rows in found.items() if isinstance(rows, list)}
        _audit("export", user_ref, actor, reason, counts)
    answer: dict[str, Any] = json.loads(json.dumps(found, cls=DjangoJSONEncoder))
    return answer


def erase(user_ref: str, *, actor: str, reason: str) -> dict[str, int]:
    """Erases the person: payloads and consumers' rows are deleted, calls lose reference, session, labels and trace.

    Returns how many rows that were, by kind; a second time, nothing is left to erase. Calls that are under way at this moment
    write their rows afterwards: do it again when they have ended. Raises CannotErase under a legal hold, and ValueError
    without a reference or a reason.
    """
    _refuse_nobody(user_ref)
    if not reason.strip():
        raise ValueError("Say why, e.g. the number of the request; the reason goes into the audit log.")
    # With the lock no legal hold can be set while it erases.
    with seeing_expired(lock=True), connection.cursor() as cursor, ExitStack() as around:
        person = _find(user_ref)
        if held := legal.in_force(user_ref, {*person.tenants, *_other_tenants(person)}):
            # Not the reference itself: messages end up in logs.
            of = [f"tenant {hold.tenant}" if hold.tenant else "the user" for hold in held]
            names = ", ".join(f"{hold.pk} ({who}: {hold.reason})" for hold, who in zip(held, of, strict=True))
            raise CannotErase(f"Nothing was erased, as a legal hold is in force: {names}. Lift it first, in the admin.")
        for derived in DERIVED.values():
            around.enter_context(derived.erasing(user_ref, person.calls))
        counts = {}
        for table in REGISTERED.values():
            if where := _where(table):
                cursor.execute(f"DELETE FROM {table.table} t WHERE {where}", _values(person))  # noqa: S608 (checked names)
                counts[table.kind] = cursor.rowcount
        for name in ("payloads", "calls"):
            cursor.execute(_sql[f"erase_{name}"], [list(person.calls)])
            counts[name] = cursor.rowcount
        _audit("erase", user_ref, actor, reason, counts)
    return counts


def subject(user_ref: str) -> str:
    """What the audit log calls a person, as an erased one's reference must not stay in it: a keyed hash of the reference.

    Whoever has the reference can find the entries by it.
    """
    return f"person {hmac.digest(pepper('person in the audit log'), user_ref.encode(), 'sha256').hex()[:32]}"


def _find(user_ref: str) -> Person:
    with connection.cursor() as cursor:
        cursor.execute(_sql["calls"], {"ref": user_ref})
        calls = sorted(id for (id,) in cursor.fetchall())
        cursor.execute(_sql["places"], [calls])
        places = cursor.fetchall()
    return Person(
        user_ref=user_ref,
        calls=calls,
        tenants=sorted({tenant for tenant, _ in places if tenant}),
        sessions=sorted((tenant, session) for tenant, session in places if session),
    )


def _other_tenants(person: Person) -> set[str]:
    """The tenants of the person's rows in the registered tables: they may outlive the calls that they are of."""
    found: set[str] = set()
    with connection.cursor() as cursor:
        for table in REGISTERED.values():
            if table.tenant and (where := _where(table)):
                query = f"SELECT DISTINCT t.{table.tenant} FROM {table.table} t WHERE {where}"  # noqa: S608 (checked names)
                cursor.execute(query, _values(person))
                found |= {tenant for (tenant,) in cursor.fetchall() if tenant}
    return found


def _where(table: KeptTable) -> str:
    """The condition by which a person's rows of the table are found; empty where it has no column for that."""
    own = [f"t.{column} = %(ref)s" for column in (table.user_ref, table.author) if column]
    if table.session:
        nobody = f"t.{table.user_ref} = '' AND " if table.user_ref else ""
        # A session's id is its tenant's: another tenant may have the same one.
        whose = f"(t.{table.tenant}, t.{table.session})" if table.tenant else f"t.{table.session}"
        known = (
            "unnest(%(session_tenants)s::text[], %(sessions)s::text[])"
            if table.tenant
            else "unnest(%(sessions)s::text[])"
        )
        own.append(f"{nobody}{whose} IN (SELECT * FROM {known})")  # noqa: S608 (checked names)
    if table.call:
        own.append(f"t.{table.call} = ANY(%(calls)s)")
    return " OR ".join(f"({part})" for part in own)


def _values(person: Person) -> dict[str, Any]:
    tenants, sessions = zip(*person.sessions, strict=True) if person.sessions else ((), ())
    return {
        "ref": person.user_ref,
        "calls": list(person.calls),
        "session_tenants": list(tenants),
        "sessions": list(sessions),
    }


def _rows(query: str, values: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return [json.loads(row) if isinstance(row, str) else row for (row,) in cursor.fetchall()]


def _refuse_nobody(user_ref: str) -> None:
    if not user_ref.strip():
        raise ValueError("Give a user reference: calls without one are nobody's.")


def _audit(verb: str, user_ref: str, actor: str, reason: str, counts: dict[str, int]) -> None:
    AuditEntry.objects.create(
        actor=actor, action=f"privacy.{verb}", subject=subject(user_ref), reason=reason, detail={"rows": counts}
    )

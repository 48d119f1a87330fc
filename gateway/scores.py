"""Scores: what people and machines say of a call afterwards, as numbers. No text is taken, so that none can be kept.

A source has one say for each call and kind (and each eval, by name): the same again changes nothing, another value counts in
its place. Each is a row, and rows are never changed.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import InterfaceError, OperationalError, connection, transaction

from gateway.calling import acaller, caller
from gateway.clock import clock
from gateway.errors import InvalidRequest, LedgerUnavailable, NotFound
from gateway.models.calls import uuid7_time
from gateway.sql import queries
from gateway.types import Caller

Kind = Literal["feedback", "edit", "eval"]

#: The least value of each kind; the most is 1.
LEAST: Mapping[str, float] = {"feedback": -1.0, "edit": 0.0, "eval": 0.0}
#: An eval's name tells what it looks at, and nothing of a call.
NAME = re.compile(r"[a-z0-9][a-z0-9_.:/-]{0,99}")
#: How often it is tried when one source says several things at the same moment.
ATTEMPTS = 20
SQL = queries("scores.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What was said of a call. `new` is False where the same source had said the same already."""

    id: UUID
    call_id: UUID
    kind: str
    name: str
    value: float
    source: str
    new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """A score on its way: checked, and from whom. `author` is a user's reference, empty for other sources."""

    call_id: UUID
    kind: str
    name: str
    value: float
    source: str
    author: str = ""


#: Whether whoever says it may say something of calls of this feature and tenant.
May = Callable[[str, str], bool]


def score(
    call_id: UUID | str, kind: Kind, value: float, /, *, name: str = "", user: Any = None, tenant: str = ""
) -> Score:
    """Notes what somebody says of a call that has ended.

    `feedback` is from -1 to 1 (True: thumbs up, False: thumbs down), `edit` the share of the reply that was changed before it was
    sent, from 0 to 1 (see `edit_share`), `eval` whether a check with that `name` was passed. Feedback and edits are from
    `user` (a Django user or any id; kept as calls keep it), by default that of `gateway.context`, and from the application where
    there is none. The same source's later value counts in place of an earlier one, and the same value again changes nothing.
    Written over Django's connection, so within its transaction.

    Raises InvalidRequest for a value, kind or name that cannot be; NotFound where there is no such call, or where the context
    names a tenant whose call it is not; LedgerUnavailable when the database is away.
    """
    return _note(call_id, kind, value, name, caller(user, tenant))


async def ascore(
    call_id: UUID | str, kind: Kind, value: float, /, *, name: str = "", user: Any = None, tenant: str = ""
) -> Score:
    """As `score`, in a coroutine."""
    whose = await acaller(user, tenant)
    return await sync_to_async(_note)(call_id, kind, value, name, whose)


def _note(call_id: UUID | str, kind: str, value: float, name: str, whose: Caller) -> Score:
    say = checked(call_id, kind, value, name, source="user" if whose.user_ref else "app", author=whose.user_ref)
    return add(say, lambda _, tenant: whose.tenant in ("", tenant))


def checked(call_id: Any, kind: Any, value: Any, name: Any, *, source: str, author: str = "") -> Say:
    """The score as it can be written. An eval is its own source, whoever ran it. Raises InvalidRequest."""
    if kind not in LEAST:
        raise InvalidRequest(f"`kind` must be one of {', '.join(LEAST)}, not {_quoted(kind)}.", param="kind")
    if not isinstance(name, str) or bool(name) != (kind == "eval") or (name and not NAME.fullmatch(name)):
        raise InvalidRequest(
            "`name` must be that of the eval: up to 100 small letters, digits and `_.:/-`. Feedback and edits have none.",
            param="name",
        )
    number = _number(kind, value)
    if number is None:
        told = {
            "eval": "true or false",
            "edit": "a number from 0 to 1",
            "feedback": "true, false or a number from -1 to 1",
        }
        raise InvalidRequest(f"`value` of {kind} must be {told[kind]}, not {_quoted(value)}.", param="value")
    if kind == "eval":
        source, author = "eval", ""
    return Say(call_id=call_key(call_id), kind=kind, name=name, value=number, source=source, author=author)


def _number(kind: str, value: Any) -> float | None:
    """The value as it is kept; None for what is none of its kind."""
    if isinstance(value, bool):
        return None if kind == "edit" else 1.0 if value else LEAST[kind]
    if not isinstance(value, int | float) or not LEAST[kind] <= value <= 1 or (kind == "eval" and value not in (0, 1)):
        return None
    return float(value)


def call_key(call_id: Any) -> UUID:
    """The id of a call, a UUIDv7. Raises NotFound for anything else, of which there is no call."""
    try:
        found = call_id if isinstance(call_id, UUID) else UUID(str(call_id))
    except ValueError:
        found = None
    if found is None or found.version != 7:
        raise NotFound(f"There is no call {_quoted(call_id)}: give the `call_id` of a reply (X-Tollhouse-Call-Id).")
    return found


def _quoted(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def add(say: Say, may: May) -> Score:
    """Writes the score, where `may` allows it for the call's feature and tenant. Raises NotFound, InvalidRequest and
    LedgerUnavailable as `score` does.
    """
    if _stand_in is not None:
        return _stand_in(say, may)
    try:
        return _written(say, may)
    except (OperationalError, InterfaceError) as error:
        raise LedgerUnavailable("The database does not answer, so the score was not noted.") from error


def _written(say: Say, may: May) -> Score:
    given = {name: getattr(say, name) for name in Say.__slots__}
    given["called_at"] = uuid7_time(say.call_id)
    with connection.cursor() as cursor:
        cursor.execute(SQL["call"], given)
        found = cursor.fetchone()
        if found is None or not may(found[0], found[1]):
            raise unknown(say.call_id)
        if not found[2]:
            raise InvalidRequest("This call is older than scores are kept (RETENTION_DAYS: score).", param="call_id")
        for _ in range(ATTEMPTS):
            cursor.execute(SQL["last"], given)
            last = cursor.fetchone()
            if last and last[1] == say.value:
                return told(say, last[0], new=False)
            given |= {"id": clock.new_id(), "number": last[2] + 1 if last else 1, "replaced": last[1] if last else None}
            # A savepoint, so that a refusal leaves the application's transaction usable.
            with transaction.atomic():
                cursor.execute(SQL["add"], given)
            if cursor.rowcount:
                return told(say, given["id"], new=True)
    raise InvalidRequest("This source says too many things of this call at the same moment. Try again.")


def unknown(call_id: UUID) -> NotFound:
    """Whether there is none, or none of theirs, is not told."""
    return NotFound(f"There is no call {call_id} that you may score.", param="call_id")


def told(say: Say, id: UUID, *, new: bool) -> Score:
    """What whoever says it is answered; `id` is that of its row."""
    return Score(id=id, call_id=say.call_id, kind=say.kind, name=say.name, value=say.value, source=say.source, new=new)


_stand_in: Callable[[Say, May], Score] | None = None


@contextmanager
def standing_in(take: Callable[[Say, May], Score]) -> Iterator[None]:
    """While inside, scores go there and not to the database. For tests."""
    global _stand_in
    before, _stand_in = _stand_in, take
    try:
        yield
    finally:
        _stand_in = before

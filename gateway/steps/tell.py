"""Steps that are told when they are over, by who has no `gateway.step`: a client over HTTP, of a call that it made."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from django.db import InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from gateway.clock import clock
from gateway.errors import InvalidRequest, LedgerUnavailable, NotFound
from gateway.models.calls import uuid7_time
from gateway.scores import call_key
from gateway.sql import queries
from gateway.steps import ERROR_CLASS, OUTCOMES, Step

#: How long after its call a step may be told, and how long it may have taken.
LATEST = timedelta(days=1)
MOST_MS = LATEST.total_seconds() * 1000
#: Steps of one call.
MOST = 1000
#: Of an Idempotency-Key.
LONGEST_KEY = 255
#: The last bits of a UUIDv7, which are those of chance: in its text the last 17 signs.
LOW_BITS = (1 << 62) - 1
SQL = queries("steps.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A step that is over, checked. It ended `ended_ms` milliseconds ago, after `latency_ms`. What is told again with the same
    `key` is the same step; without one it is another.
    """

    call_id: UUID
    step: Step
    latency_ms: float
    ended_ms: float
    outcome: str
    error_class: str
    key: str = ""


class Row(NamedTuple):
    """A step that is there, its call's session, and whether it is new."""

    id: UUID
    kind: str
    name: str
    session_id: str = ""
    new: bool = True


def checked(call_id: Any, body: Mapping[str, Any], key: str = "") -> Told:
    """The step as it can be written. Raises InvalidRequest, and NotFound where the id is that of no call."""
    name, counts = body.get("name"), body.get("counts", {})
    if not isinstance(name, str) or not name:
        raise InvalidRequest("`name` must say what was done, e.g. the tool's name.", param="name")
    if not isinstance(counts, dict):
        raise InvalidRequest("`counts` must be an object of whole numbers by short names.", param="counts")
    outcome, error_class = body.get("outcome", "ok"), body.get("error_class", "")
    if outcome not in OUTCOMES:
        raise InvalidRequest(f"`outcome` must be one of {', '.join(OUTCOMES)}.", param="outcome")
    if not isinstance(error_class, str) or (
        error_class and (outcome == "ok" or not ERROR_CLASS.fullmatch(error_class))
    ):
        raise InvalidRequest(
            "`error_class` must be the class of an error, e.g. TimeoutError, of a step that is not ok; never its message.",
            param="error_class",
        )
    if len(key) > LONGEST_KEY:
        raise InvalidRequest(f"An Idempotency-Key has at most {LONGEST_KEY} characters.", param="Idempotency-Key")
    return Told(
        call_id=call_key(call_id), step=Step(body.get("kind"), name, call=None, counts=counts),  # type: ignore[arg-type]  # it checks
        latency_ms=_ms(body, "latency_ms", None), ended_ms=_ms(body, "ended_ms_ago", 0), outcome=outcome, error_class=error_class,
        key=key,
    )  # fmt: skip


def _ms(body: Mapping[str, Any], name: str, default: float | None) -> float:
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST_MS:
        raise InvalidRequest(f"`{name}` must be a number of milliseconds, at most those of a day.", param=name)
    return float(value)


def tell(told: Told, may: Callable[[str, str], bool]) -> Row:
    """Writes the step below its call, where `may` allows it for the call's feature and tenant; one that was told before with the
    same key is left as it is. For whom it was, its session and its trace are the call's.

    Raises NotFound where there is no such call for them, InvalidRequest where it is too late or there are too many, and
    LedgerUnavailable when the database is away.
    """
    try:
        return _written(told, may)
    except (OperationalError, InterfaceError) as error:
        raise LedgerUnavailable("The database does not answer, so the step was not noted.") from error


def _written(told: Told, may: Callable[[str, str], bool]) -> Row:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(SQL["of_call"], {"call_id": told.call_id, "most": MOST})
        found = cursor.fetchone()
        if found is None or not may(found[0], found[1]):
            # Whether there is none, or none of theirs, is not told.
            raise NotFound(f"There is no call {told.call_id} that you may add steps to.", param="call_id")
        _, tenant, user_ref, session_id, trace_id, steps = found
        if uuid7_time(told.call_id) < timezone.now() - LATEST:
            raise InvalidRequest(
                "This call is more than a day old; steps are told when they are over.", param="call_id"
            )
        id = _id(told)
        if told.key:
            cursor.execute(SQL["one_at_a_time"], [id.int & LOW_BITS])
            cursor.execute(SQL["told"], {"call_id": told.call_id, "ending": str(id)[-17:]})
            if there := cursor.fetchone():
                return Row(there[0], there[1], there[2], new=False)
        if steps >= MOST:
            raise InvalidRequest(f"A call has at most {MOST:,} steps.", param="call_id")
        row = {
            "id": id, "parent": told.call_id, "kind": told.step.kind, "name": told.step.name,
            "latency_ms": round(told.latency_ms, 3), "outcome": told.outcome, "error_class": told.error_class,
            "counts": told.step.counts, "tenant": tenant, "user_ref": user_ref, "session_id": session_id,
            "trace_id": trace_id, "span_id": id.hex[16:] if trace_id else "",
        }  # fmt: skip
        cursor.execute(SQL["add"], [orjson.dumps([row]).decode()])
    return Row(id, told.step.kind, told.step.name, session_id)


def _id(told: Told) -> UUID:
    """A key of the moment at which the step began; of what is told with a key, all but the time is made from that."""
    began = clock.new_id().int - (int(told.latency_ms + told.ended_ms) << 80)
    if told.key:
        digest = sha256(b"%s %s" % (told.call_id.bytes, told.key.encode())).digest()
        began = began & ~LOW_BITS | int.from_bytes(digest[:8]) & LOW_BITS
    return UUID(int=began)

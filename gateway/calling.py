"""For whom calls are made: what a request knows, said once for all calls inside of it."""

from collections.abc import Awaitable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Any

from asgiref.sync import async_to_sync

from gateway import keys
from gateway.types import Caller


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Whom calls are for, where they do not say so themselves. `user` may be a function that finds out, also an
    asynchronous one; it is called when a call is made.
    """

    user: Any = None
    tenant: str = ""
    cohort: str = ""
    session: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


NOBODY = Context()
_current: ContextVar[Context] = ContextVar("tollhouse_context", default=NOBODY)


@contextmanager
def context(
    *,
    user: Any = None,
    tenant: str = "",
    cohort: str = "",
    session: str = "",
    labels: Mapping[str, str] | None = None,
) -> Iterator[Context]:
    """Calls inside of this block are made for this user, tenant, cohort and session, with these labels, unless they say
    otherwise. Blocks inside of blocks add to them. Works for threads of `sync_to_async` and for tasks started inside.
    """
    outer = _current.get()
    inner = Context(
        user=outer.user if user is None else user,
        tenant=tenant or outer.tenant,
        cohort=cohort or outer.cohort,
        session=session or outer.session,
        labels={**outer.labels, **(labels or {})},
    )
    token = _current.set(inner)
    try:
        yield inner
    finally:
        _current.reset(token)


def caller(
    user: Any = None, tenant: str = "", cohort: str = "", session: str = "", labels: Mapping[str, str] | None = None
) -> Caller:
    """For whom a call is made: what is given here, else what the context says."""
    found = _asked(user)
    return _caller(async_to_sync(_wait)(found) if isawaitable(found) else found, tenant, cohort, session, labels)


async def acaller(
    user: Any = None, tenant: str = "", cohort: str = "", session: str = "", labels: Mapping[str, str] | None = None
) -> Caller:
    """As `caller`, in a coroutine."""
    found = _asked(user)
    return _caller(await found if isawaitable(found) else found, tenant, cohort, session, labels)


def _asked(user: Any) -> Any:
    found = _current.get().user if user is None else user
    return found() if callable(found) else found


async def _wait(found: Awaitable[Any]) -> Any:
    return await found


def _caller(user: Any, tenant: str, cohort: str, session: str, labels: Mapping[str, str] | None) -> Caller:
    around = _current.get()
    person = getattr(user, "pk", user)
    return Caller(
        # Whoever is not logged in has no primary key.
        user_ref="" if person is None else keys.user_ref(str(person)),
        tenant=tenant or around.tenant, cohort=cohort or around.cohort, session_id=session or around.session,
        source="sdk", labels={**around.labels, **(labels or {})},
    )  # fmt: skip

"""For whom calls are made: what a request knows, said once for all calls inside of it."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Any

import orjson
from asgiref.sync import async_to_sync, sync_to_async
from django.core.exceptions import ImproperlyConfigured

from gateway import inside, keys
from gateway.errors import InvalidRequest
from gateway.types import Caller


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Whom calls are for, where they do not say so themselves. `user` may be a function that finds out, also an
    asynchronous one; `more` is one that finds out what is not said here. They are called when a call is made.
    """

    user: Any = None
    tenant: str = ""
    cohort: str = ""
    session: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    more: Callable[[], Mapping[str, Any]] | None = None


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
    with entered(Context(user=user, tenant=tenant, cohort=cohort, session=session, labels=labels or {})) as inner:
        yield inner


@contextmanager
def entered(given: Context) -> Iterator[Context]:
    """As `context`, for one that is made already."""
    if not isinstance(given.labels, Mapping):
        raise InvalidRequest("`labels` must be a dict of texts.", param="labels")
    outer = _current.get()
    inner = Context(
        user=outer.user if given.user is None else given.user,
        tenant=given.tenant or outer.tenant,
        cohort=given.cohort or outer.cohort,
        session=given.session or outer.session,
        labels={**outer.labels, **given.labels},
        more=given.more or outer.more,
    )
    token = _current.set(inner)
    try:
        yield inner
    finally:
        # A generator may be closed in another context than that in which it began, with nothing to put back.
        with suppress(ValueError):
            _current.reset(token)


def caller(
    user: Any = None, tenant: str = "", cohort: str = "", session: str = "", labels: Mapping[str, str] | None = None
) -> Caller:
    """For whom a call is made: what is given here, else what the context says, else what that finds out."""
    around = _current.get()
    found = _found(around.more()) if around.more else NOBODY
    person = _asked(user, around, found)
    person = async_to_sync(_wait)(person) if isawaitable(person) else person
    return _caller(person, tenant, cohort, session, labels, around, found)


async def acaller(
    user: Any = None, tenant: str = "", cohort: str = "", session: str = "", labels: Mapping[str, str] | None = None
) -> Caller:
    """As `caller`, in a coroutine. What the context finds out is found in a thread, as it may ask Django's database."""
    around = _current.get()
    found = _found(await sync_to_async(around.more)()) if around.more else NOBODY
    person = _asked(user, around, found)
    person = await person if isawaitable(person) else person
    return _caller(person, tenant, cohort, session, labels, around, found)


def _found(said: Mapping[str, Any]) -> Context:
    """What a function of REQUEST_CONTEXT said; None is what it does not know. Raises ImproperlyConfigured."""
    known = {"user", "tenant", "cohort", "session", "labels"}
    if not isinstance(said, Mapping) or not known.issuperset(said):
        what = f"with {', '.join(map(str, said))}" if isinstance(said, Mapping) else f"of type {type(said).__name__}"
        raise ImproperlyConfigured(
            f"The function of TOLLHOUSE['REQUEST_CONTEXT'] must return a dict with any of {', '.join(sorted(known))}, "
            f"not one {what}."
        )
    return Context(**{name: value for name, value in said.items() if value is not None})


def _asked(user: Any, around: Context, found: Context) -> Any:
    person = next((known for known in (user, around.user, found.user) if known is not None), None)
    return person() if callable(person) else person


async def _wait(found: Awaitable[Any]) -> Any:
    return await found


def _caller(
    user: Any, tenant: str, cohort: str, session: str, labels: Mapping[str, str] | None, around: Context, found: Context
) -> Caller:
    person, step = getattr(user, "pk", user), inside.current.get()
    return Caller(
        # Whoever is not logged in has no primary key.
        user_ref="" if person is None else _short("user", keys.user_ref(str(person)), 200),
        tenant=_short("tenant", tenant or around.tenant or found.tenant, 200),
        cohort=_short("cohort", cohort or around.cohort or found.cohort, 100),
        session_id=_short("session", session or around.session or found.session, 200),
        source="sdk",
        labels=_writable({**found.labels, **around.labels, **(labels or {})}),
        parent=step.step if step else None,
        traceparent=step.traceparent if step else "",
    )


def _writable(labels: dict[str, str]) -> dict[str, str]:
    """The labels, as a row can hold them. Raises InvalidRequest for others, before anything is held for their call."""
    try:
        orjson.dumps(labels, default=str)
    except TypeError as error:
        raise InvalidRequest(f"`labels` cannot be written as JSON: {error}.", param="labels") from None
    return labels


def _short(name: str, value: str, most: int) -> str:
    """The value, as a row can hold it. Raises InvalidRequest for another, before anything is held for its call."""
    if not isinstance(value, str) or len(value) > most or not value.isprintable():
        raise InvalidRequest(f"`{name}` must be a text of at most {most} printable characters.", param=name)
    return value

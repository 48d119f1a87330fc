"""The Python API: `complete`, `stream` and `embed` for synchronous code, and the same with an `a` for coroutines.

All six run the one pipeline in the process's engine, from a view, a task, a shell or a coroutine of any event loop.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from asgiref.sync import sync_to_async

from gateway import engine, replies
from gateway.calling import acaller, caller
from gateway.catalog import FeatureInfo
from gateway.errors import NotFound
from gateway.render import check
from gateway.replies import AsyncReplyStream, Delta, Embeddings, Reply, ReplyStream, awaiting, blocking
from gateway.types import Ask, Caller, Json, Operation

__all__ = [
    "AsyncReplyStream", "Delta", "Embeddings", "Reply", "ReplyStream", "acomplete", "aembed", "aenabled", "astream", "complete",
    "disclosure", "embed", "enabled", "stream",
]  # fmt: skip


def complete(
    feature: str,
    variables: Mapping[str, Json] | None = None,
    /,
    *,
    messages: Sequence[Mapping[str, Json]] | None = None,
    user: Any = None,
    tenant: str = "",
    cohort: str = "",
    session: str = "",
    model: str = "",
    labels: Mapping[str, str] | None = None,
    **parameters: Json,
) -> Reply:
    """The model's reply for a feature: its live prompt rendered with `variables`, then `messages`.

    `user` is a Django user or any id; rows keep a keyed hash of it. Where `user`, `tenant`, `cohort`, `session` and
    `labels` are not given, those of `gateway.context` count. `model` picks a route or a target of the feature's route.
    `parameters` go to the provider as they are (`temperature`, `tools`, `response_format`, …). The call's row is
    committed before this returns. Raises `gateway.errors.GatewayError`; RuntimeError when called in the engine's own
    event loop, where `acomplete` is the way.
    """
    whose = caller(user, tenant, cohort, session, labels)
    return blocking(replies.complete(_chat(feature, variables, messages, model, parameters, whose)))


async def acomplete(
    feature: str,
    variables: Mapping[str, Json] | None = None,
    /,
    *,
    messages: Sequence[Mapping[str, Json]] | None = None,
    user: Any = None,
    tenant: str = "",
    cohort: str = "",
    session: str = "",
    model: str = "",
    labels: Mapping[str, str] | None = None,
    **parameters: Json,
) -> Reply:
    """As `complete`, from a coroutine of any event loop; cancelling it cancels the call."""
    whose = await acaller(user, tenant, cohort, session, labels)
    return await awaiting(replies.complete(_chat(feature, variables, messages, model, parameters, whose)))


def stream(
    feature: str,
    variables: Mapping[str, Json] | None = None,
    /,
    *,
    messages: Sequence[Mapping[str, Json]] | None = None,
    user: Any = None,
    tenant: str = "",
    cohort: str = "",
    session: str = "",
    model: str = "",
    labels: Mapping[str, str] | None = None,
    **parameters: Json,
) -> ReplyStream:
    """As `complete`, as an iterator of `Delta`; `.reply` is there when it has ended. Closing it early cancels the call."""
    whose = caller(user, tenant, cohort, session, labels)
    return ReplyStream(_chat(feature, variables, messages, model, parameters, whose, stream=True))


def astream(
    feature: str,
    variables: Mapping[str, Json] | None = None,
    /,
    *,
    messages: Sequence[Mapping[str, Json]] | None = None,
    user: Any = None,
    tenant: str = "",
    cohort: str = "",
    session: str = "",
    model: str = "",
    labels: Mapping[str, str] | None = None,
    **parameters: Json,
) -> AsyncReplyStream:
    """As `stream`, as an asynchronous iterator."""

    async def ask() -> Ask:
        whose = await acaller(user, tenant, cohort, session, labels)
        return _chat(feature, variables, messages, model, parameters, whose, stream=True)

    return AsyncReplyStream(ask)


def embed(
    feature: str,
    texts: str | Sequence[str],
    /,
    *,
    user: Any = None,
    tenant: str = "",
    cohort: str = "",
    session: str = "",
    model: str = "",
    labels: Mapping[str, str] | None = None,
    **parameters: Json,
) -> Embeddings:
    """A vector for each text. Raises as `complete` does."""
    whose = caller(user, tenant, cohort, session, labels)
    return blocking(replies.embed(_embedding(feature, texts, model, parameters, whose)))


async def aembed(
    feature: str,
    texts: str | Sequence[str],
    /,
    *,
    user: Any = None,
    tenant: str = "",
    cohort: str = "",
    session: str = "",
    model: str = "",
    labels: Mapping[str, str] | None = None,
    **parameters: Json,
) -> Embeddings:
    """As `embed`, from a coroutine of any event loop."""
    whose = await acaller(user, tenant, cohort, session, labels)
    return await awaiting(replies.embed(_embedding(feature, texts, model, parameters, whose)))


def complete_ask(ask: Ask) -> Reply:
    """As `complete`, for an ask that only the product itself can make, such as a trial of the playground."""
    return blocking(replies.complete(ask))


def enabled(feature: str, *, user: Any = None, tenant: str = "", cohort: str = "", session: str = "") -> bool:
    """Whether a feature is on for this caller: its phase, and who belongs to it (see `gateway.rollout`).

    A call for a caller for whom it is off is refused with FeatureDisabled. Raises NotFound for an unknown feature.
    """
    return _on(_feature(feature), caller(user, tenant, cohort, session))


async def aenabled(feature: str, *, user: Any = None, tenant: str = "", cohort: str = "", session: str = "") -> bool:
    """As `enabled`, in a coroutine."""
    whose = await acaller(user, tenant, cohort, session)
    return _on(await sync_to_async(_feature, thread_sensitive=False)(feature), whose)


def disclosure(feature: str) -> str:
    """What the product tells its users about this use of a model; empty where nothing is written. Raises NotFound."""
    return _feature(feature).disclosure


def _on(feature: FeatureInfo, whose: Caller) -> bool:
    return feature.rollout.includes(feature.slug, tenant=whose.tenant, cohort=whose.cohort, unit=whose.unit)


def _feature(slug: str) -> FeatureInfo:
    catalog = engine.start().gate.catalog
    found = catalog.features.get(slug)
    if found is None:
        raise NotFound(f"There is no feature {slug!r}; there are: {', '.join(sorted(catalog.features)) or 'none yet'}.")
    return found


def _chat(
    feature: str,
    variables: Mapping[str, Json] | None,
    messages: Sequence[Mapping[str, Json]] | None,
    model: str,
    parameters: Mapping[str, Json],
    whose: Caller,
    *,
    stream: bool = False,
) -> Ask:
    body = dict(parameters)
    if messages is not None:
        body["messages"] = [dict(message) for message in messages]
    return _ask("chat", feature, body, model, whose, variables=variables, stream=stream)


def _embedding(
    feature: str, texts: str | Sequence[str], model: str, parameters: Mapping[str, Json], whose: Caller
) -> Ask:
    return _ask(
        "embeddings", feature, {**parameters, "input": texts if isinstance(texts, str) else list(texts)}, model, whose
    )


def _ask(
    operation: Operation,
    feature: str,
    body: Mapping[str, Json],
    model: str,
    whose: Caller,
    *,
    variables: Mapping[str, Json] | None = None,
    stream: bool = False,
) -> Ask:
    check(body)
    return Ask(
        feature=feature, operation=operation, body=body, caller=whose, variables=variables, model=model, stream=stream
    )

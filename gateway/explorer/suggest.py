"""Values that a field is known to have, for completing a query: from the configuration, never from rows of calls."""

from collections.abc import Callable, Iterable

from gateway.explorer.fields import ALIASES
from gateway.models import Feature, Key, PromptVersion, Provider, Route, Target
from gateway.types import OUTCOMES
from redaction.models import RedactionPolicy
from redaction.policies import KNOWN_ENTITIES

MOST = 12


def _prompts(start: str) -> Iterable[str]:
    found = PromptVersion.objects.filter(address__startswith=start).order_by("-id")
    return (address[:8] for address in found.values_list("address", flat=True)[:MOST])


#: Each gives values that begin with a text; some may not, and are left out afterwards.
SOURCES: dict[str, Callable[[str], Iterable[str]]] = {
    "feature": lambda start: Feature.objects.filter(slug__startswith=start).values_list("slug", flat=True)[:MOST],
    "model": lambda start: _models(start),
    "asked": lambda start: _models(start),
    "provider": lambda start: Provider.objects.filter(name__startswith=start).values_list("name", flat=True)[:MOST],
    "route": lambda start: Route.objects.filter(name__startswith=start).values_list("name", flat=True)[:MOST],
    "key": lambda start: Key.objects.filter(name__startswith=start).values_list("name", flat=True)[:MOST],
    "policy": lambda start: RedactionPolicy.objects.filter(name__startswith=start).values_list("name", flat=True)[
        :MOST
    ],
    "prompt": _prompts,
    "outcome": lambda start: OUTCOMES,
    "entity": lambda start: KNOWN_ENTITIES,
    "operation": lambda start: ("chat", "embeddings"),
    "source": lambda start: ("agent", "eval", "http", "playground", "rag", "sdk"),
    "streamed": lambda start: ("yes", "no"),
    "cached": lambda start: ("yes", "no"),
}


def _models(start: str) -> Iterable[str]:
    models = Target.objects.filter(model__startswith=start).order_by("model")
    return models.values_list("model", flat=True).distinct()[:MOST]


def suggestions(field: str, start: str) -> list[str]:
    """At most a dozen values of the field that begin so; none for fields that nobody keeps a list of."""
    source = SOURCES.get(ALIASES.get(field, field))
    if source is None or "\x00" in start:
        return []
    return [value for value in source(start) if value.startswith(start)][:MOST]

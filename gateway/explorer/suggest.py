"""Values that a field is known to have, for completing a query: from the configuration, never from rows of calls."""

from collections.abc import Iterable

from django.db.models import Model

from gateway.access import User, visible
from gateway.explorer.fields import ALIASES
from gateway.models import Feature, Key, PromptVersion, Provider, Route, Target
from gateway.scores import LEAST
from gateway.types import OUTCOMES
from redaction.models import RedactionPolicy
from redaction.policies import KNOWN_ENTITIES

MOST = 12
#: Where the values of a field are kept: of which rows, and in which of their columns.
ROWS: dict[str, tuple[type[Model], str]] = {
    "feature": (Feature, "slug"),
    "model": (Target, "model"),
    "asked": (Target, "model"),
    "provider": (Provider, "name"),
    "route": (Route, "name"),
    "key": (Key, "name"),
    "policy": (RedactionPolicy, "name"),
    "prompt": (PromptVersion, "address"),
}
#: Fields with values that are always the same.
WORDS: dict[str, Iterable[str]] = {
    "outcome": OUTCOMES,
    "ended": OUTCOMES,
    "entity": KNOWN_ENTITIES,
    "operation": ("chat", "embeddings"),
    "source": ("agent", "eval", "http", "playground", "rag", "sdk"),
    "score": LEAST,
    "streamed": ("yes", "no"),
    "cached": ("yes", "no"),
}
#: How many characters of an address people write.
SHORT = 8


def suggestions(field: str, start: str, user: User) -> list[str]:
    """At most a dozen values of the field that begin so, of rows that the user may see; none for fields that nobody keeps a
    list of."""
    name = ALIASES.get(field, field)
    if "\x00" in start:
        return []
    if name not in ROWS:
        return [value for value in WORDS.get(name, ()) if value.startswith(start)][:MOST]
    model, column = ROWS[name]
    rows = visible(model._default_manager.filter(**{f"{column}__startswith": start}), user)
    if name == "prompt":
        return [address[:SHORT] for address in rows.order_by("-pk").values_list(column, flat=True)[:MOST]]
    return list(rows.order_by(column).values_list(column, flat=True).distinct()[:MOST])

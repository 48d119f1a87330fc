"""Which errors calls ended with, by provider and model."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from dashboards.pages import names
from dashboards.pages.frame import Reading
from dashboards.pages.sums import Sums, share

MOST_ROWS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorClass:
    """An error's class at a model, on how many calls, and which share of the model's calls that is.

    Calls that were refused before a provider was asked are of no model.
    """

    name: str
    provider: str
    model: str
    calls: int
    share: float
    calls_url: str


def classes(reading: Reading, found: Mapping[tuple[str, ...], Sums]) -> list[ErrorClass]:
    """The most frequent ones; `found` are calls by provider, model and error class."""
    whole: Counter[tuple[str, ...]] = Counter()
    for (*target, _), sums in found.items():
        whole[tuple(target)] += sums.calls
    failed = sorted((key for key in found if key[2]), key=lambda key: (-found[key].calls, key))[:MOST_ROWS]
    return [
        ErrorClass(
            name=name, provider=provider, model=names.shown("model", model), calls=found[provider, model, name].calls,
            share=share(found[provider, model, name].calls, whole[provider, model]),
            calls_url=reading.calls_url(reading.filters.only(error_class=name, provider=provider, model=model)),
        )
        for provider, model, name in failed
    ]  # fmt: skip

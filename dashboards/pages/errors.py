"""Which errors calls ended with, by provider and model."""

from collections.abc import Mapping
from dataclasses import dataclass

from dashboards.pages import names
from dashboards.pages.frame import Reading
from dashboards.pages.sums import Sums, share
from dashboards.rollups import figures

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


def classes(reading: Reading, by_target: Mapping[tuple[str, ...], Sums]) -> list[ErrorClass]:
    """The most frequent ones; `by_target` is what the calls of each provider and model come to."""
    rows = figures(reading.filters, by=("error_class", "provider", "model"))
    most = sorted((row for row in rows if row.values[0]), key=lambda row: (-row.calls, row.values))[:MOST_ROWS]
    found = []
    for row in most:
        name, provider, model = row.values
        its = reading.filters.only(error_class=name, provider=provider, model=model)
        found.append(
            ErrorClass(
                name=name, provider=provider, model=names.shown("model", model), calls=row.calls,
                share=share(row.calls, by_target.get((provider, model), row).calls), calls_url=reading.calls_url(its),
            )
        )  # fmt: skip
    return found

"""A call that is over, as telemetry is told of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import Span

from gateway.ledger.operations import Row
from gateway.telemetry.names import PROVIDERS
from gateway.types import TOKEN_PARTS, Json

#: Outcomes in which the model answered.
ANSWERED = frozenset({"ok", "truncated"})
#: Outcomes that somebody has to look at: something failed, and nobody decided that it should.
FAILED = frozenset({"provider_error", "timeout", "ledger_unavailable"})


@dataclass(slots=True, kw_only=True)
class Finished:
    """A committed row and what of the call is not in it.

    `body` is the request as the application wrote it: only its numbers may be told. `vendor`, `model` and `base_url` are
    those of the target that served, or would have. `content` is what the ledger keeps of the call's text, None unless every part
    of it is redacted or left out. `span` is there where it began before the call ended, `parent` is the application's own
    trace, None where there is none. `gaps` are seconds from one chunk of a stream to the next; `sentry_trace` and
    `baggage` are the caller's headers of these names.
    """

    row: Row
    body: Mapping[str, Json]
    vendor: str
    model: str
    base_url: str
    response_id: str
    content: Mapping[str, Json] | None
    settle_ms: float
    parent: Context | None
    span: Span | None = None
    gaps: Sequence[float] = ()
    sentry_trace: str = ""
    baggage: str = ""

    @property
    def provider(self) -> str:
        """The provider's name as the GenAI conventions write it; one that they do not know keeps its own."""
        return PROVIDERS.get(self.vendor, self.vendor) or "_OTHER"

    @property
    def input_tokens(self) -> int:
        """All that the model read; the conventions count what came from a cache, or went there, among it."""
        return sum(self.row[part] for part in _INPUT)

    @property
    def output_tokens(self) -> int:
        """All that the model wrote, its reasoning among it."""
        return sum(self.row[part] for part in _OUTPUT)

    @property
    def used(self) -> bool:
        """Whether a model read or wrote for this call. Of one that none did there is no usage: zeros would count in averages."""
        return bool(self.input_tokens or self.output_tokens)

    @property
    def response_model(self) -> str:
        """The model that answered, perhaps earlier, for the cache; empty where none did."""
        answered = self.used or self.row["cache_hit"] or self.row["outcome"] in ANSWERED
        return self.row["model_served"] if answered else ""

    @property
    def error(self) -> str:
        """What went wrong, as one of few words; empty where nothing did."""
        return "" if self.row["outcome"] in ANSWERED else self.row["error_class"] or self.row["outcome"]

    @property
    def cost(self) -> float | None:
        """US dollars, as a float, which is for telemetry alone."""
        usd = self.row["cost_usd"]
        return None if usd is None else float(usd)

    def number(self, *names: str) -> int | float | None:
        """The first of these request fields that is a number."""
        found: list[Any] = [self.body.get(name) for name in names]
        return next((v for v in found if isinstance(v, int | float) and not isinstance(v, bool)), None)


_INPUT = tuple(part for part in TOKEN_PARTS if part.startswith(("input", "cache", "audio_input")))
_OUTPUT = tuple(part for part in TOKEN_PARTS if part not in _INPUT)

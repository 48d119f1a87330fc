"""For the tests of applications: calls that are answered as a test says, without server, provider or ledger.

    with gateway.testing.stub() as llm:
        llm.reply("Dear Ada, …")
        suggest_reply(ticket.id)
        assert llm.calls[0].messages[-1]["content"].startswith("Ticket:")

Everything else is real: the catalog as the test's database has it, prompts, prices, the stages of the pipeline and its
errors. Nothing is written to the database, so it works inside of a test's transaction. The pytest fixture is in
`gateway.testing.plugin`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from asgiref.sync import sync_to_async
from django.core.exceptions import SynchronousOnlyOperation

from gateway import engine, scores
from gateway.clock import clock
from gateway.errors import GatewayError, ProviderError, ProviderTimeout, RateLimited
from gateway.providers.wire import TRANSIENT
from gateway.scores import May, Say, Score
from gateway.steps import writer as steps
from gateway.testing.catalog import read_catalog
from gateway.testing.parts import Answer, Answers, Script, gate_of
from gateway.types import TOKEN_PARTS, Json, Usage

__all__ = ["Stub", "StubbedCall", "StubbedStep", "stub"]

#: What a reply reports to have used, where the test does not say.
USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}


class StubbedCall:
    """A call that has ended: what its row would say. `row` is the whole of it, by column."""

    def __init__(self, row: Mapping[str, Any], payload: Mapping[str, Json]) -> None:
        self.row = row
        self.feature: str = row["feature"]
        self.outcome: str = row["outcome"]
        self.tenant: str = row["tenant"]
        self.user_ref: str = row["user_ref"]
        self.session_id: str = row["session_id"]
        self.labels: Mapping[str, str] = row["labels"]
        self.prompt_version: str = row["prompt_version"]
        self.variant: str = row["variant"]
        self.cost_usd: Decimal | None = row["cost_usd"]
        self.usage = Usage(**{part: row[part] for part in TOKEN_PARTS})
        #: The messages as they went out: rendered, and with `redaction=True` redacted.
        self.messages: Sequence[Mapping[str, Json]] = payload.get("messages", ())
        #: What was answered: messages of the role assistant.
        self.reply: Sequence[Mapping[str, Json]] = payload.get("reply", ())

    def __repr__(self) -> str:
        return f"<StubbedCall {self.feature} {self.outcome}>"


class StubbedStep:
    """A step that has ended: what its row would say. `row` is the whole of it, by column."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        self.row = row
        self.kind: str = row["kind"]
        self.name: str = row["name"]
        self.outcome: str = row["outcome"]
        self.counts: Mapping[str, int] = row["counts"]

    def __repr__(self) -> str:
        return f"<StubbedStep {self.kind} {self.name} {self.outcome}>"


class Stub:
    """Stands in for the process's gate while it is entered (`with`, or `async with`). Replies are given in the order in
    which they were asked for, those for a feature before those for all, and the last one again and again.
    """

    def __init__(
        self,
        *,
        catalog: str | Path | None = None,
        features: Iterable[str] = (),
        rates: Mapping[str, str] | None = None,
        redaction: bool = False,
    ) -> None:
        self._catalog, self._features = catalog, tuple(features)
        self._rates = dict(rates or {"input": "0", "output": "0"})
        self._redaction = redaction
        self._script = Script()
        self._ended: list[StubbedCall] = []
        self._vectors: Callable[[Sequence[str]], Sequence[Sequence[float]]] = _vectors
        self._standing_in = ExitStack()
        #: What each source said last, by the score without its value.
        self._said: dict[Say, Score] = {}
        #: Every score that was given, in order; the same again is no other one.
        self.scores: list[Score] = []
        #: Every step that has ended, in the order of their ends.
        self.steps: list[StubbedStep] = []

    @property
    def calls(self) -> list[StubbedCall]:
        """Every call that has ended, refused ones too, in the order of their ends."""
        return list(self._ended)

    def reply(
        self,
        text: str = "",
        *,
        feature: str = "",
        tool_calls: Sequence[tuple[str, Mapping[str, Json]]] = (),
        finish_reason: str = "",
        usage: Mapping[str, Json] | None = None,
        chunks: Sequence[str] = (),
    ) -> Self:
        """The next call gets this reply. `tool_calls` are names with arguments; `usage` is in OpenAI's shape (unset: 100
        tokens in, 20 out); `chunks` are the pieces of its text in a stream (unset: its words).
        """
        return self._add(
            feature,
            Answer(
                text="".join(chunks) or text,
                tool_calls=tuple(tool_calls),
                finish_reason=finish_reason or ("tool_calls" if tool_calls else "stop"),
                usage=dict(usage or USAGE),
                chunks=tuple(chunks),
            ),
        )

    def fail(self, error: GatewayError | type[GatewayError] | int, *, feature: str = "") -> Self:
        """The next call fails with this: an error, its class, or the HTTP status that a provider answers.

        BudgetExceeded, FeatureDisabled, RateLimited and such refuse the call before it is sent; a ProviderError is an
        attempt that failed, so that the route's retries and fallback follow.
        """
        return self._add(feature, Answer(error=_error(error)))

    def vectors(self, make: Callable[[Sequence[str]], Sequence[Sequence[float]]]) -> Self:
        """Embeddings are what this function makes of the texts. Unset: three numbers that depend on the text alone."""
        self._vectors = make
        return self

    def _add(self, feature: str, answer: Answer) -> Self:
        self._script.add(feature, answer)
        return self

    def __enter__(self) -> Self:
        answers = Answers(self._script, self._embed)
        try:
            catalog = read_catalog(self._catalog, self._features, self._rates, answers, redaction=self._redaction)
        except SynchronousOnlyOperation:
            raise RuntimeError("In a coroutine, enter it with `async with stub(…)`: it reads the catalog.") from None
        self._standing_in.enter_context(engine.standing_in(lambda: gate_of(catalog, self._script, self._end)))
        self._standing_in.enter_context(scores.standing_in(self._score))
        self._standing_in.enter_context(steps.standing_in(lambda row: self.steps.append(StubbedStep(row))))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._standing_in.__exit__(kind, error, trace)

    async def __aenter__(self) -> Self:
        return await sync_to_async(self.__enter__)()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await sync_to_async(self.__exit__)(kind, error, trace)

    def _embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        return self._vectors(texts)

    def _score(self, say: Say, may: May) -> Score:
        """As the database would have it: of a call that has ended, and once for each source."""
        call = next((call for call in self._ended if call.row["id"] == say.call_id), None)
        if call is None or not may(call.feature, call.tenant):
            raise scores.unknown(say.call_id)
        source = replace(say, value=0.0)
        if (last := self._said.get(source)) and last.value == say.value:
            return replace(last, new=False)
        made = self._said[source] = scores.told(say, clock.new_id(), new=True)
        self.scores.append(made)
        return made

    def _end(self, row: Mapping[str, Any], payload: Mapping[str, Json]) -> None:
        self._ended.append(StubbedCall(row, payload))


#: `with stub(...)`: `catalog` is a catalog file that counts for this test alone, beside what the database has; `features` are
#: made on the fly, for tests that need no more of them; `rates` are US dollars per million tokens for models without a
#: price; with `redaction` the policies' outbound rules are applied, which takes seconds the first time.
stub = Stub


def _error(given: GatewayError | type[GatewayError] | int) -> GatewayError:
    if isinstance(given, GatewayError):
        return given
    if isinstance(given, int):
        return ProviderError(
            f"The provider answered with status {given}.", status=given, transient=given in TRANSIENT, billable=False
        )
    if issubclass(given, ProviderError):
        timeout = issubclass(given, ProviderTimeout)
        return given("The provider failed, as the test says.", transient=True, billable=timeout)
    if issubclass(given, RateLimited):
        return given("Too many calls, as the test says.", retry_after_s=1.0)
    return given("Refused, as the test says.")


def _vectors(texts: Sequence[str]) -> list[list[float]]:
    return [[float(len(text)), float(sum(map(ord, text)) % 97), 1.0] for text in texts]

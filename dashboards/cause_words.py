"""A change of spend in plain words: what rose, how much of it is whose, and whether there were more calls or dearer ones."""

from collections.abc import Sequence
from decimal import Decimal

from dashboards.causes import Cause, Compared, Dimension, Spend, standing_out
from gateway.templatetags.tollhouse import usd

NAMES = {
    "prompt_version": "prompt version", "model": "model", "tenant": "tenant", "cohort": "cohort", "key": "API key",
    "user_ref": "user",
}  # fmt: skip
#: Two figures are said to be the same when they differ by less than this share.
CLOSE = Decimal("0.05")
#: How many further values that stand out are told of.
MOST_FURTHER = 3


def reasons(feature: str, whole: Compared, dimensions: Sequence[Dimension]) -> list[str]:
    """Sentences that say why the spend of a feature changed, the most important one first; where nothing can be said, why not."""
    if not whole.now.calls or not whole.before.calls:
        return _one_sided(feature, whole, dimensions)
    if whole.same:
        return [f"Spend is about the same as before: {how(whole, whole.before)}."]
    found = standing_out(whole, dimensions)
    if not found:
        kinds = [NAMES[kind.name] for kind in dimensions if not kind.alike]
        alike = f"no single {_or(kinds)} explains most of the {_word(whole)}" if kinds else "all calls are of one kind"
        return [f"Nothing stands out: {alike}. All calls together: {how(whole, whole.before)}."]
    return [_reason(feature, whole, name, cause) for name, cause in found[: 1 + MOST_FURTHER]]


def _one_sided(feature: str, whole: Compared, dimensions: Sequence[Dimension]) -> list[str]:
    if not whole.before.calls:
        told = "There were no calls in the time before, so there is nothing to compare with."
        most = [
            (cause.spend.now.usd, kind.name, cause)
            for kind in dimensions for cause in kind.causes
            if not kind.alike and 2 * cause.spend.now.usd > whole.now.usd
        ]  # fmt: skip
        if not most:
            return [told]
        spent, name, cause = max(most, key=lambda item: item[0])
        return [f"{told} Most was spent by {named(feature, name, cause.value)}: {short_usd(spent)}."]
    return [
        f"There are no calls now; in the time before there were {whole.before.calls:,} for {short_usd(whole.before.usd)}."
    ]


def _reason(feature: str, whole: Compared, name: str, cause: Cause) -> str:
    subject = named(feature, name, cause.value)
    told = how(cause.spend, whole.before)
    if cause.share > Decimal("1.005"):
        return f"The {_word(whole)} comes from {subject}, and others went against it: {told}."
    much = "All" if cause.share >= Decimal("0.995") else f"{percent(cause.share)}"
    return f"{much} of the {_word(whole)} comes from {subject}: {told}."


def named(feature: str, dimension: str, value: str) -> str:
    """A value with the name of its dimension, e.g. `tenant acme`."""
    if not value:
        return f"calls without {'an' if dimension == 'key' else 'a'} {NAMES[dimension]}"
    return f"{NAMES[dimension]} {shown(feature, dimension, value)}"


def shown(feature: str, dimension: str, value: str) -> str:
    """A value as people know it: addresses of versions and references of users are cut short."""
    if dimension == "prompt_version" and value:
        return f"{feature}@{value[:8]}"
    return f"{value[:12]}…" if dimension == "user_ref" and len(value) > 16 else value


def how(spend: Compared, usual: Spend) -> str:
    """Whether there were more calls or dearer ones, e.g. `4.1 times as many calls at the same cost per call`.

    Calls of a kind that had none before are compared with the `usual` ones.
    """
    now, before = spend.now, spend.before
    if not now.calls:
        return f"none of its {_calls(before.calls)} are made any more" if before.calls else "no calls"
    if not before.calls:
        return f"{_calls(now.calls)}, none before, at {_beside(now.per_call, usual.per_call)}"
    return f"{_volume(now.calls, before.calls)} at {_cost(now.per_call, before.per_call)}"


def _volume(now: int, before: int) -> str:
    ratio = Decimal(now) / before
    if abs(ratio - 1) < CLOSE:
        return "as many calls" if now == before else "about as many calls"
    if ratio >= 2:
        return f"{times(ratio)} times as many calls"
    return f"{percent(abs(ratio - 1))} {'more' if ratio > 1 else 'fewer'} calls"


def _cost(now: Decimal | None, before: Decimal | None) -> str:
    if not now or not before:
        return f"{short_usd(now)} a call instead of {short_usd(before)}" if now or before else "no cost"
    ratio = now / before
    if abs(ratio - 1) < CLOSE:
        return "the same cost per call"
    if ratio >= 2:
        return f"{times(ratio)} times the cost per call"
    return f"{percent(abs(ratio - 1))} {'more' if ratio > 1 else 'less'} per call"


def _beside(now: Decimal | None, usual: Decimal | None) -> str:
    """What a call of a new kind costs, beside what calls cost before."""
    if not now or not usual:
        return f"{short_usd(now)} a call" if now else "no cost"
    ratio = now / usual
    if abs(ratio - 1) < CLOSE:
        return "what a call cost before"
    if ratio >= 2:
        return f"{times(ratio)} times what a call cost before"
    return f"{percent(abs(ratio - 1))} {'more' if ratio > 1 else 'less'} than a call cost before"


def _calls(number: int) -> str:
    return f"{number:,} call{'' if number == 1 else 's'}"


def _word(whole: Compared) -> str:
    return "rise" if whole.change > 0 else "fall"


def _or(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else "".join(words)


def times(ratio: Decimal) -> str:
    """A ratio of 2 or more, e.g. `4.1`; without decimals from 10 on."""
    return f"{ratio:,.1f}".removesuffix(".0") if ratio < 10 else f"{ratio:,.0f}"


def percent(share: Decimal) -> str:
    """A share as a whole percentage; one that is not nothing does not read as 0."""
    found = round(100 * share)
    return "under 1%" if found == 0 and share > 0 else f"{found:,}%"


def short_usd(value: Decimal | None) -> str:
    """US dollars as one reads them: cents, or three digits that count where there is less than a dollar; `–` for None."""
    if value is None:
        return "–"
    if not value or abs(value) >= 1:
        return f"{'−' if value < 0 else ''}${abs(value):,.2f}"
    kept = round(abs(value), max(2, 2 - abs(value).adjusted()))
    return f"{'−' if value < 0 else ''}{usd(kept)}"

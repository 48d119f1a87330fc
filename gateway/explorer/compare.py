"""A call beside one of the prompt version before it: figures side by side, and what their messages differ in."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import QuerySet

from gateway.access import User, visible
from gateway.explorer.query import exactly
from gateway.explorer.search import Range, search
from gateway.models import Call, PromptVersion
from gateway.prompts.diff import Part, compare
from gateway.templatetags.tollhouse import ms, usd
from gateway.types import Json

#: How far back a call of the version before is looked for, and for how long; days and seconds.
DAYS, BUDGET_S = 90, 0.5


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of both calls, as texts, and how the later one differs: empty where nothing can be said."""

    label: str
    before: str
    after: str
    change: str = ""


def version_before(call: Call, user: User) -> PromptVersion | None:
    """The version that was written before the call's, of the same prompt; None where there is none that the user may see."""
    versions = visible(PromptVersion.objects.filter(prompt__feature__slug=call.feature), user)
    own = versions.filter(address=call.prompt_version).first() if call.prompt_version else None
    if own is None:
        return None
    kin = versions.filter(id__lt=own.pk).select_related("prompt__feature")
    if own.origin != PromptVersion.Origin.OBSERVED:
        kin = kin.exclude(origin=PromptVersion.Origin.OBSERVED)
    return kin.order_by("-id").first()


def call_of(version: PromptVersion, call: Call, among: QuerySet[Call] | None = None) -> Call | None:
    """The newest call of that version before this call that had a reply; of the same tenant, where it has one."""
    query = exactly(feature=call.feature, prompt=version.address, outcome="ok", tenant=call.tenant)
    within = Range(call.started_at - timedelta(days=DAYS), call.started_at)
    found = search(query, within, size=1, among=among, budget_s=BUDGET_S).calls
    return found[0] if found else None


def figures(before: Call, after: Call) -> list[Figure]:
    """What the two calls cost, took and used."""
    found = [
        Figure("Cost", usd(before.cost_usd), usd(after.cost_usd), _change(before.cost_usd, after.cost_usd)),
        Figure("Latency", ms(before.latency_ms), ms(after.latency_ms), _change(before.latency_ms, after.latency_ms)),
        Figure("First token", ms(before.first_token_ms), ms(after.first_token_ms),
               _change(before.first_token_ms, after.first_token_ms)),
        Figure("Gate overhead", ms(before.gate_ms), ms(after.gate_ms), _change(before.gate_ms, after.gate_ms)),
    ]  # fmt: skip
    counts = ("Input tokens", "all_input_tokens"), ("Output tokens", "all_output_tokens"), ("Tool calls", "tool_calls")
    for label, name in counts:
        old, new = getattr(before, name), getattr(after, name)
        found.append(Figure(label, f"{old:,}", f"{new:,}", _change(old, new)))
    for label, name in (("Outcome", "outcome"), ("Model", "model_served"), ("Finish reason", "finish_reason")):
        old, new = getattr(before, name), getattr(after, name)
        found.append(Figure(label, old or "–", new or "–", "" if old == new else "differs"))
    return found


def differences(before: Mapping[str, Json] | None, after: Mapping[str, Json] | None) -> list[Part]:
    """What was said in both, line by line: each message beside that in the same place, and the replies."""
    found = []
    for name, title in (("messages", "Message"), ("reply", "Reply")):
        old, new = ((content or {}).get(name) or [] for content in (before, after))
        for number in range(max(len(old), len(new))):
            lines = compare(_lines(old, number), _lines(new, number))
            found.append(Part(title=f"{title} {number + 1}", lines=lines))
    return [part for part in found if part.changed]


def _lines(messages: Sequence[Json], number: int) -> list[str]:
    if number >= len(messages):
        return []
    message = messages[number]
    content = message.get("content") if isinstance(message, dict) else message
    rest = {name: value for name, value in message.items() if name != "content"} if isinstance(message, dict) else {}
    text = content if isinstance(content, str) else json.dumps(content, indent=2, ensure_ascii=False, sort_keys=True)
    head = [f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
            for name, value in sorted(rest.items())]  # fmt: skip
    return [*head, *text.split("\n")]


def _change(before: object, after: object) -> str:
    if before is None or after is None or not float(before):  # type: ignore[arg-type]  # figures, all of them
        return ""
    percent = 100 * (float(after) / float(before) - 1)  # type: ignore[arg-type]
    return "same" if abs(percent) < 0.5 else f"{percent:+.0f} %"

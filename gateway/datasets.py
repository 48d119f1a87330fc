"""Datasets of what calls said: keeping a call in one, and writing one out as JSON lines."""

from collections.abc import Iterator
from typing import Any

import orjson

from gateway.models import Call, Dataset, DatasetItem
from redaction.models import RedactionPolicy

MOST_EXPECTED = 20_000


class Refused(Exception):
    """The call cannot be kept; the message says why."""


def add(dataset: Dataset, call: Call, content: Any, *, expected: str, actor: str) -> tuple[DatasetItem, bool]:
    """The item of the call in the dataset, and whether it was made now. `content` is the call's payload, None where none is kept.

    Raises Refused for a call whose redacted messages are not kept: a dataset has no raw text.
    """
    found = content.get("messages") if isinstance(content, dict) else None
    if not isinstance(found, list) or not found:
        raise Refused(
            "Nothing that can be read is kept of what this call said: its policy says so, or its time is over."
        )
    policy = RedactionPolicy.objects.filter(name=call.policy).first()
    if policy is None or "full" in {policy.stored, *dict(policy.stored_parts).values()}:
        raise Refused(
            f"The policy {call.policy or 'of this call'} keeps texts in full, or is not there any more; a dataset takes only "
            "what was redacted."
        )
    if len(expected) > MOST_EXPECTED:
        raise Refused(f"What is expected has at most {MOST_EXPECTED} characters.")
    return DatasetItem.objects.get_or_create(
        dataset=dataset,
        call_id=call.id,
        defaults={
            "feature": call.feature, "prompt_version": call.prompt_version, "tenant": call.tenant, "user_ref": call.user_ref,
            "messages": found, "reply": content.get("reply") or [], "expected": expected.strip(), "created_by": actor,
        },
    )  # fmt: skip


def lines(dataset: Dataset) -> Iterator[bytes]:
    """The dataset as JSON lines, in the order in which it was made."""
    for item in dataset.items.order_by("id").iterator(chunk_size=200):
        yield orjson.dumps({
            "id": item.pk, "dataset": dataset.name, "call_id": str(item.call_id) if item.call_id else None,
            "feature": item.feature, "prompt_version": item.prompt_version, "messages": item.messages, "reply": item.reply,
            "expected": item.expected,
        }) + b"\n"  # fmt: skip

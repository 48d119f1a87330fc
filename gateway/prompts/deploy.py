"""Deployments: which versions of a prompt are live. Every move goes through `move` and leaves an audit entry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from django.db import transaction
from django.db.models.functions import Now

from gateway.errors import PromptError
from gateway.models import AuditEntry, Deployment, Prompt, PromptVersion, Variant
from gateway.prompts.template import Template

ACTION = "deployment.move"
MOST_WEIGHT = 1_000_000
#: How many moves of a prompt are looked at, at most.
MOST_MOVES = 200


class CannotMove(Exception):
    """The deployment stays as it is; the message says why."""


@dataclass(frozen=True, slots=True)
class Share:
    """A version, by its address, and its weight among those that are live with it."""

    address: str
    weight: int

    def __str__(self) -> str:
        return f"{self.address[:8]} ({self.weight})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """From which versions to which a deployment moved."""

    before: Sequence[Share]
    after: Sequence[Share]

    def __str__(self) -> str:
        return f"{shown(self.before)} → {shown(self.after)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved(Move):
    """A move of the past, as the audit log has it."""

    id: int
    at: datetime
    actor: str
    reason: str

    @classmethod
    def of(cls, entry: AuditEntry) -> Self:
        before, after = (
            [
                Share(share["version"], share["weight"])
                for share in entry.detail.get(side, [])
                if isinstance(share, dict)
            ]
            for side in ("from", "to")
        )
        return cls(id=entry.pk, at=entry.at, actor=entry.actor, reason=entry.reason, before=before, after=after)


def shown(shares: Sequence[Share]) -> str:
    """Versions and weights in words; the weight of a single one says nothing."""
    if len(shares) == 1:
        return shares[0].address[:8]
    return ", ".join(map(str, shares)) or "nothing"


def move(
    prompt: Prompt,
    weights: Mapping[PromptVersion, int],
    *,
    actor: str,
    reason: str,
    seen: datetime | None = None,
) -> Move | None:
    """Makes these versions live with these weights, and no others, and notes it in the audit log in one transaction.

    None when that is so already. `seen` is the deployment's `moved_at` as the mover saw it: where somebody else has
    moved it since, it stays. Raises CannotMove.
    """
    _check(prompt, weights, reason)
    with transaction.atomic():
        deployment, _ = Deployment.objects.select_for_update().get_or_create(prompt=prompt)
        if seen is not None and deployment.moved_at != seen:
            raise CannotMove(f"{prompt} was moved by somebody else meanwhile; look at what is live now.")
        live = deployment.variants.select_related("version").order_by("version__address")
        before = [Share(variant.version.address, variant.weight) for variant in live]
        after = sorted((Share(v.address, weight) for v, weight in weights.items()), key=lambda share: share.address)
        if before == after:
            return None
        deployment.variants.all().delete()
        Variant.objects.bulk_create(
            Variant(
                deployment=deployment, version=version, weight=weight,
                name="live" if len(weights) == 1 else version.short,
            )
            for version, weight in weights.items()
        )  # fmt: skip
        Deployment.objects.filter(pk=deployment.pk).update(moved_at=Now(), moved_by=actor, reason=reason)
        AuditEntry.objects.create(
            actor=actor, action=ACTION, subject=str(prompt), reason=reason,
            detail={
                side: [{"version": share.address, "weight": share.weight} for share in shares]
                for side, shares in (("from", before), ("to", after))
            },
        )  # fmt: skip
    return Move(before=before, after=after)


def roll_back(prompt: Prompt, *, actor: str, reason: str, seen: datetime | None = None) -> Move | None:
    """Puts back what was live before the last move. Raises CannotMove."""
    return move(prompt, weights_of(prompt, before_last(history(prompt, 1))), actor=actor, reason=reason, seen=seen)


def before_last(moves: Sequence[Moved]) -> Sequence[Share]:
    """What was live before the newest of these moves; nothing where there was no other."""
    return moves[0].before if moves else []


def weights_of(prompt: Prompt, shares: Sequence[Share]) -> dict[PromptVersion, int]:
    """The versions of shares, with their weights. Raises CannotMove where there is none."""
    if not shares:
        raise CannotMove(f"Nothing was live for {prompt} before; choose a version.")
    versions = {v.address: v for v in prompt.versions.filter(address__in=[share.address for share in shares])}
    return {versions[share.address]: share.weight for share in shares}


def history(prompt: Prompt, most: int = MOST_MOVES) -> list[Moved]:
    """The moves of a prompt's deployment, newest first."""
    entries = AuditEntry.objects.filter(subject=str(prompt), action=ACTION).order_by("-id")
    return [Moved.of(entry) for entry in entries[:most]]


def live_since(moves: Sequence[Moved]) -> dict[str, datetime]:
    """Since when each live version has been live without a break, by address; a change of its weight is none."""
    since: dict[str, datetime] = {}
    current = {share.address for share in moves[0].after} if moves else set()
    for entry in moves:
        current &= {share.address for share in entry.after}
        since |= dict.fromkeys(current, entry.at)
        current &= {share.address for share in entry.before}
    return since


def _check(prompt: Prompt, weights: Mapping[PromptVersion, int], reason: str) -> None:
    if not reason.strip():
        raise CannotMove("Say why it moves.")
    most = Deployment._meta.get_field("reason").max_length or 0
    if len(reason) > most:
        raise CannotMove(f"The reason has more than {most} characters.")
    if not weights:
        raise CannotMove("At least one version has to be live; to stop the feature, set a switch.")
    for version, weight in weights.items():
        if version.prompt_id != prompt.pk:
            raise CannotMove(f"{version} is a version of another prompt than {prompt}.")
        if version.origin == PromptVersion.Origin.OBSERVED:
            raise CannotMove(f"{version} was observed in a call and is no template; it cannot be live.")
        if not 1 <= weight <= MOST_WEIGHT:
            raise CannotMove(f"The weight of {version} must be from 1 to {MOST_WEIGHT:,}, not {weight}.")
        try:
            Template(version.content["messages"])
        except PromptError as error:
            raise CannotMove(f"{version} cannot be rendered: {error}") from None

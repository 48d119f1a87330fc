"""What a channel is to be told next: one delivery, or many of a kind as one message."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from budgets.dispatch import is_over_unheard
from budgets.models import Alert, Channel, Delivery
from budgets.routing import SEVERITIES

#: So many messages of one kind go to a channel within `SHORT_TIME`; what comes on top is told by one message for all.
MOST_OF_A_KIND = 5
SHORT_TIME = timedelta(minutes=1)
#: Alerts that a message for many quotes.
QUOTED = 5

Event, State = Delivery.Event, Delivery.State


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """One message: the deliveries that it completes, the alert that it is about, and, where it tells of more than one, how
    many, the worst severity among them and the summaries of some. `reference` is what the channel knows its beginning by.
    """

    event: Delivery.Event
    ids: tuple[int, ...]
    alert: Alert
    count: int
    severity: str
    quoted: tuple[str, ...]
    attempts: int
    reference: str


def pick(channel: Channel) -> Parcel | None:
    """The channel's next message, its deliveries marked as being sent; None when nothing is due.

    To be called in a transaction by whoever has the channel's lease. What a dead worker was at comes first.
    """
    found = Delivery.objects.filter(channel=channel)
    _supersede(found)
    if left := found.filter(state=State.SENDING).order_by("id").first():
        same = Q(group=left.group_id) if left.group_id and left.event == Event.TRIGGER else Q(pk=left.pk)
        return _parcel(left, list(found.filter(same, state=State.SENDING).values_list("pk", flat=True)))
    while first := _due(found).order_by("attempts", "id").select_related("alert", "trigger").first():
        if first.event != Event.TRIGGER:
            return _send(first, _followers(found, first))
        ids = _of_its_kind(found, first)
        if ids:
            return _send(first, ids)
    return None


def _due(found: QuerySet[Delivery]) -> QuerySet[Delivery]:
    """What may be sent now; nothing that follows a trigger before that was sent."""
    return found.filter(Q(event=Event.TRIGGER) | Q(trigger__state=State.SENT), state=State.PENDING, next_at__lte=Now())


def _of_its_kind(found: QuerySet[Delivery], first: Delivery) -> list[int]:
    """The triggers to be told together with `first`, itself included; none, with all of them put off, when it is too soon."""
    if first.uncertain:
        # Perhaps it was heard by this key, so it is told by the same one again.
        same = found.filter(group=first.group_id) if first.group_id else found.filter(pk=first.pk)
        return list(same.filter(state=State.PENDING).values_list("pk", flat=True))
    kind = found.filter(event=Event.TRIGGER, alert__kind=first.alert.kind)
    waiting = list(_due(kind).filter(uncertain=False).order_by("id").values_list("pk", "held_back"))
    lately = list(
        kind.filter(Q(group=None) | Q(group=F("pk")), state=State.SENT, sent_at__gt=Now() - SHORT_TIME)
        .order_by("-sent_at")
        .values_list("sent_at", flat=True)[:MOST_OF_A_KIND]
    )
    if len(lately) == MOST_OF_A_KIND:
        _put_off([pk for pk, _ in waiting], lately[-1])
        return []
    if len(waiting) > MOST_OF_A_KIND - len(lately):
        return [pk for pk, _ in waiting]
    return [pk for pk, held_back in waiting if held_back] if first.held_back else [first.pk]


def _put_off(ids: list[int], oldest: datetime | None) -> None:
    assert oldest is not None
    Delivery.objects.filter(pk__in=ids).update(held_back=True, next_at=oldest + SHORT_TIME + timedelta(milliseconds=10))


def _followers(found: QuerySet[Delivery], first: Delivery) -> list[int]:
    """What is told with `first`: the same event of all alerts that one message told of."""
    assert first.trigger is not None
    if first.trigger.group_id is None:
        return [first.pk]
    same = _due(found).filter(event=first.event, trigger__group=first.trigger.group_id)
    return list(same.order_by("id").values_list("pk", flat=True))


def _send(first: Delivery, ids: list[int]) -> Parcel:
    group = first.pk if len(ids) > 1 and first.event == Event.TRIGGER else None
    Delivery.objects.filter(pk__in=ids).update(state=State.SENDING, group=min(ids) if group else None)
    return _parcel(first, ids)


def _parcel(first: Delivery, ids: list[int]) -> Parcel:
    if first.event == Event.TRIGGER:
        told = Delivery.objects.filter(pk__in=ids)
        leader = Delivery.objects.select_related("alert").get(pk=min(ids))
    else:
        # A message for many was known to the other side by its first alert's key, and so is what follows it.
        assert first.trigger is not None
        group = first.trigger.group_id
        told = Delivery.objects.filter(group=group) if group else Delivery.objects.filter(pk=first.pk)
        leader = Delivery.objects.select_related("alert").get(pk=group or first.trigger.pk)
    severities = set(told.values_list("alert__severity", flat=True).distinct())
    quoted = told.order_by("id").values_list("alert__summary", flat=True)[:QUOTED]
    return Parcel(
        event=Delivery.Event(first.event),
        ids=tuple(ids),
        alert=leader.alert,
        count=told.count(),
        severity=max(severities, key=SEVERITIES.index),
        quoted=tuple(quoted),
        attempts=first.attempts,
        reference=leader.reference,
    )


def _supersede(found: QuerySet[Delivery]) -> None:
    """Drops what there is no sense in telling any more."""
    found.filter(is_over_unheard()).update(state=State.SUPERSEDED, answer="It was over before anybody was told.")
    following = found.exclude(event=Event.TRIGGER).filter(state=State.PENDING)
    _drop(following.filter(trigger__state__in=[State.SUPERSEDED, State.FAILED]), "Its beginning was not told here.")
    _drop(
        Delivery.objects.filter(pk__in=_too_early(following)),
        "Told when the last of those that one message told of is over.",
    )


def _too_early(following: QuerySet[Delivery]) -> list[int]:
    """The ends among these of alerts that one message told of together with others that are still open."""
    # In steps, each by an index: the planner, which knows nothing yet of rows that are new, would compare all with all.
    ends = dict(following.filter(event=Event.RESOLVE).values_list("pk", "trigger_id"))
    told = Delivery.objects.filter(pk__in=set(ends.values()), state=State.SENT, group__isnull=False)
    groups = dict(told.values_list("pk", "group_id"))
    members = Delivery.objects.filter(group__in=set(groups.values()), alert__resolved_at=None)
    still_open = set(members.order_by().values_list("group_id", flat=True).distinct())
    return [pk for pk, trigger in ends.items() if groups.get(trigger) in still_open]


def _drop(found: QuerySet[Delivery], why: str) -> None:
    Delivery.objects.filter(pk__in=found.values("pk")).update(state=State.SUPERSEDED, answer=why)

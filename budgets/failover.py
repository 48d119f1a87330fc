"""Channels that fail: when one counts as dead, who takes over from it, and how it comes back."""

from datetime import timedelta

from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from budgets.channels.base import Receipt
from budgets.dispatch import CHANNEL_DEAD, follow
from budgets.models import Alert, Channel, Delivery
from budgets.outbox import open_alert, resolve_alert

#: A channel is dead after so many failures in a row, or this time without a success, or when it asks for such a rest.
MOST_FAILURES = 8
DEAD_AFTER = timedelta(minutes=10)
#: What nobody can stand in for is tried for so long.
GIVE_UP_AFTER = timedelta(days=3)
#: Permanent refusals that are the message's fault: it will never be taken. Any other one (an address or key that is no
#: longer good, no answer at all) says nothing of the message, which waits.
OF_THE_MESSAGE = frozenset({400, 413, 422})
#: Answers that ask for patience are no sign of death.
PATIENCE = 429

Event, State = Delivery.Event, Delivery.State


def failed(channel: Channel, receipt: Receipt, ids: list[int], wait: timedelta) -> None:
    """Notes that a channel did not take a message, in the transaction that put it back; declares it dead where it is."""
    now = timezone.now()
    failures = channel.failures + (receipt.status != PATIENCE)
    since = channel.failing_since or now
    dies = channel.dead_since is None and (
        receipt.permanent or failures >= MOST_FAILURES or now - since >= DEAD_AFTER or wait >= DEAD_AFTER
    )
    Channel.objects.filter(pk=channel.pk).update(
        failures=failures,
        failing_since=since,
        last_error=receipt.answer or f"HTTP status {receipt.status}",
        retry_at=Now() + wait,
    )
    if dies:
        _declare_dead(channel, receipt)
    rows = Delivery.objects.filter(pk__in=ids)
    if channel.dead_since is not None or dies:
        _fall_over(channel, rows)
    left = rows.filter(state=State.PENDING)
    if receipt.permanent and receipt.status in OF_THE_MESSAGE:
        left.update(state=State.FAILED)
    left.filter(created_at__lt=Now() - GIVE_UP_AFTER).update(state=State.FAILED)


def revive(channel: Channel, receipt: Receipt) -> None:
    """Notes a success: whatever was wrong is over, but for recipients that were refused."""
    Channel.objects.filter(pk=channel.pk).update(
        last_ok_at=Now(),
        last_error=receipt.answer if receipt.partly else "",
        failures=0,
        failing_since=None,
        dead_since=None,
        retry_at=None,
    )
    if channel.dead_since is not None:
        resolve_alert(_key(channel), f"{channel.name} takes messages again.")
    channel.failures, channel.failing_since, channel.dead_since, channel.retry_at = 0, None, None, None


def is_left_alone(channel: Channel) -> bool:
    """Whether nothing is sent to a channel now. What waits for a dead one falls over to the next."""
    rests = channel.retry_at is not None and channel.retry_at > timezone.now()
    if rests and channel.dead_since is not None:
        _fall_over(channel, Delivery.objects.filter(channel=channel, next_at__lte=Now()))
    return rests


def leave_inactive() -> None:
    """Takes what waits for channels that were made inactive away from them."""
    waiting = Delivery.objects.filter(channel__active=False, state__in=[State.PENDING, State.SENDING])
    for channel in Channel.objects.filter(pk__in=waiting.values("channel")).select_related("fallback"):
        rows = waiting.filter(channel=channel)
        rows.filter(state=State.SENDING).update(state=State.PENDING)
        _fall_over(channel, rows)
        rows.update(state=State.SUPERSEDED, answer="The channel was made inactive.")


def _declare_dead(channel: Channel, receipt: Receipt) -> None:
    Channel.objects.filter(pk=channel.pk).update(dead_since=Coalesce("dead_since", Now()))
    channel.refresh_from_db(fields=["dead_since"])
    heir = next(iter(channel.fallbacks()), None)
    instead = f"its messages go to {heir}" if heir else "it has no fallback, so its messages wait"
    open_alert(
        CHANNEL_DEAD,
        Alert.Severity.CRITICAL,
        _key(channel),
        f"The channel {channel} takes no messages; {instead}. Last answer: {receipt.answer or receipt.status}",
        detail={"channel": channel.pk, "name": channel.name},
    )


def _key(channel: Channel) -> str:
    assert channel.dead_since is not None
    return f"channel:{channel.pk}:{channel.dead_since.isoformat()}"


def _fall_over(channel: Channel, rows: QuerySet[Delivery]) -> None:
    """Gives waiting triggers to the first fallback that has not failed them as well; what is left over waits on."""
    rows = rows.filter(event=Event.TRIGGER, state=State.PENDING)
    for heir in channel.fallbacks():
        left = dict(rows.values_list("alert", "pk"))
        theirs = Delivery.objects.filter(channel=heir, event=Event.TRIGGER, alert__in=left)
        failed_there = set(theirs.filter(state=State.FAILED).values_list("alert", flat=True))
        # The alert that says that a channel is dead is not sent there.
        own = Alert.objects.filter(pk__in=left, kind=CHANNEL_DEAD, detail__channel=heir.pk)
        alerts = left.keys() - failed_there - set(own.values_list("pk", flat=True))
        if not alerts:
            continue
        Delivery.objects.bulk_create(
            [Delivery(alert_id=alert, channel=heir, event=Event.TRIGGER, next_at=Now()) for alert in sorted(alerts)],
            ignore_conflicts=True,
        )
        rows.filter(alert__in=alerts).update(
            state=State.FAILED, answer=f"Fell over to {heir}. {channel.last_error}"[:500]
        )
        for event, over in (
            (Event.RESOLVE, Q(end_routed_at__isnull=False)),
            (Event.ACKNOWLEDGE, ~Q(acknowledged_at=None)),
        ):
            follow(list(Alert.objects.filter(over, pk__in=alerts).values_list("pk", flat=True)), event)

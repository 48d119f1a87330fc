"""Digests that are due, each planned once, whichever workers look; what was missed is not made up for one by one."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from dashboards.digests.models import Digest, DigestDelivery

State, Way = DigestDelivery.State, DigestDelivery.Way
#: For so long rows of deliveries are kept.
KEPT = timedelta(days=400)
BATCH = 100
OVERTAKEN = "Not sent in time: the next one was due."


def plan() -> int:
    """Plans the deliveries of all digests that are due; how many digests those were. Any number of workers may plan.

    Of several times that passed since the last look, the newest one counts.
    """
    DigestDelivery.objects.filter(created_at__lt=Now() - KEPT).delete()
    with transaction.atomic():
        due = Digest.objects.filter(Q(next_at=None) | Q(next_at__lte=Now()), active=True).annotate(now=Now())
        found = list(due.order_by("pk").select_for_update(skip_locked=True)[:BATCH])
        return sum(_plan(digest, digest.now) for digest in found)


def _plan(digest: Digest, now: datetime) -> bool:
    schedule, first = digest.schedule, digest.next_at
    if first is not None:
        due = schedule.latest(now)
        # Where the zone's rules have changed since, it may not be due any more.
        if due >= first:
            _overtake(digest)
            _add(digest, due, missed=schedule.count(first, due))
    Digest.objects.filter(pk=digest.pk).update(next_at=schedule.after(now))
    return first is not None


def send_now(digest: Digest, user: str) -> int:
    """Plans the digest as it would be sent now, active or not; in how many ways it is sent."""
    return _add(digest, timezone.now(), asked_by=user)


def _overtake(digest: Digest) -> None:
    """Gives up what still waits of earlier times: one digest is read, and not several."""
    waits = DigestDelivery.objects.filter(digest=digest, state=State.PENDING, asked_by="")
    waits.filter(answer="").update(state=State.FAILED, answer=OVERTAKEN)
    waits.update(state=State.FAILED)


def _add(digest: Digest, due: datetime, **values: object) -> int:
    rows = [DigestDelivery(digest=digest, due_at=due, way=way, **values) for way in ways(digest)]
    return len(DigestDelivery.objects.bulk_create(rows, ignore_conflicts=True))


def ways(digest: Digest) -> Iterable[DigestDelivery.Way]:
    """How the digest is sent."""
    if digest.emails:
        yield Way.EMAIL
    if digest.channel_id:
        yield Way.SLACK


def reschedule(digest: Digest) -> None:
    """Sets when the digest is due next, after its schedule was changed. What is planned already stays so."""
    digest.next_at = digest.schedule.after(timezone.now()) if digest.active else None

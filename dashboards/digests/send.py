"""Digests on their way: each delivery is leased by one worker, made anew at each attempt, and sent outside of any transaction.

A worker that dies loses its lease, and what it was sending is sent again: at least once to the outside, one row here. An email
has the same id then; a message that is known to be in Slack is not posted again.
"""

import logging
from datetime import timedelta

from django.db import DatabaseError, transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from budgets.channels import Receipt
from budgets.models import Alert
from budgets.outbox import open_alert
from dashboards.digests import ways
from dashboards.digests.models import DigestDelivery
from dashboards.digests.plan import plan
from dashboards.digests.sections import NotAllowed, make

logger = logging.getLogger("tollhouse.digests")

#: How often a worker looks, in seconds.
PERIOD_S = 10.0
#: A worker that was silent for so long has lost what it was sending: longer than each step of an attempt may take.
LEASE = timedelta(minutes=10)
#: After n failures a delivery rests for 2^n half minutes, up to the longest; after so long it is given up.
REST_S, LONGEST_REST_S = 30.0, 1800.0
GIVEN_UP_AFTER = timedelta(hours=12)
#: Deliveries of one look.
MOST_AT_A_TIME = 20

State, Way = DigestDelivery.State, DigestDelivery.Way


def work() -> None:
    """The worker's job: plans what is due, and sends what was planned."""
    plan()
    deliver()


def deliver() -> int:
    """Sends what waits; how many were tried. Any number of workers may."""
    tried = 0
    while tried < MOST_AT_A_TIME and (delivery := _claim()):
        tried += 1
        _note(delivery, _attempt(delivery))
    return tried


def _claim() -> DigestDelivery | None:
    """The next delivery, leased; None when nothing waits."""
    waits = Q(state=State.PENDING, next_at__lte=Now()) | Q(state=State.SENDING, leased_until__lte=Now())
    wanted = Q(digest__active=True) | ~Q(asked_by="")
    until = timezone.now() + LEASE
    with transaction.atomic():
        rows = DigestDelivery.objects.filter(waits, wanted).order_by("next_at", "pk")
        found = rows.select_for_update(of=("self",), skip_locked=True).first()
        if found is None:
            return None
        DigestDelivery.objects.filter(pk=found.pk).update(state=State.SENDING, leased_until=until)
    return DigestDelivery.objects.select_related("digest__owner", "digest__channel").get(pk=found.pk)


def _attempt(delivery: DigestDelivery) -> Receipt:
    """What came of it. Trouble of any kind but the database's is a receipt."""
    if timezone.now() - delivery.created_at > GIVEN_UP_AFTER:
        last = f" The last answer: {delivery.answer}" if delivery.answer else ""
        return Receipt(ok=False, answer=f"Given up, as it could not be sent in time.{last}", permanent=True)
    digest = delivery.digest
    try:
        content = make(delivery)
        if delivery.way == Way.EMAIL:
            return ways.mail(content, digest.emails, f"digest-{delivery.pk}", lambda: _renew(delivery))
        if digest.channel is None:
            return Receipt(ok=False, answer="It has no Slack channel any more.", permanent=True)
        return ways.slack(
            content, digest.channel, delivery.reference, lambda it: _keep(delivery, it), lambda: _renew(delivery)
        )
    except NotAllowed as error:
        return Receipt(ok=False, answer=str(error)[:500], permanent=True)
    except DatabaseError:
        raise
    except Exception as error:
        # The pages' code and the libraries behind it; the worker goes on. Not its text: that may hold anything.
        logger.exception("digests: %s could not be made", digest)
        return Receipt(ok=False, answer=f"It could not be made ({type(error).__name__}): see the worker's log.")


def _own(delivery: DigestDelivery) -> Q:
    return Q(pk=delivery.pk, state=State.SENDING, leased_until=delivery.leased_until)


def _renew(delivery: DigestDelivery) -> bool:
    """Makes the lease anew before something leaves; False where another worker has taken it."""
    until = timezone.now() + LEASE
    renewed = DigestDelivery.objects.filter(_own(delivery)).update(leased_until=until)
    delivery.leased_until = until if renewed else delivery.leased_until
    return bool(renewed)


def _keep(delivery: DigestDelivery, reference: str) -> None:
    """Notes at once that its message is there, so that it is not posted again."""
    DigestDelivery.objects.filter(_own(delivery)).update(reference=reference[:200])


def _note(delivery: DigestDelivery, receipt: Receipt) -> None:
    """Notes what came of an attempt, unless another worker has the delivery by now; an alert says what was not sent."""
    own = DigestDelivery.objects.filter(_own(delivery))
    told = {
        "attempts": F("attempts") + 1,
        "status": receipt.status,
        "answer": receipt.answer[:500],
        "leased_until": None,
    }
    if receipt.ok:
        with transaction.atomic():
            if own.update(state=State.SENT, sent_at=Now(), **told) and receipt.partly and not delivery.asked_by:
                _alert(delivery, f"was sent in part: {receipt.answer}")
        return
    logger.warning("digests: %s was not sent: %s", delivery, receipt.answer)
    if not receipt.permanent:
        own.update(state=State.PENDING, next_at=Now() + timedelta(seconds=_rest_s(receipt, delivery.attempts)), **told)
        return
    with transaction.atomic():
        if own.update(state=State.FAILED, **told) and not delivery.asked_by:
            _alert(delivery, f"was not sent by {delivery.way}: {receipt.answer}")


def _rest_s(receipt: Receipt, attempts: int) -> float:
    asked = receipt.retry_after_s or 0.0
    return min(max(asked, REST_S * 2.0 ** min(attempts, 16)), LONGEST_REST_S)


def _alert(delivery: DigestDelivery, what: str) -> None:
    open_alert(
        "digest_not_sent",
        Alert.Severity.WARNING,
        f"digest:{delivery.pk}",
        f"The digest {delivery.digest} {what}",
        detail={"digest": delivery.digest_id},
        ends_at=timezone.now() + timedelta(hours=24),
    )

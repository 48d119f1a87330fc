"""Raises: more of a budget for a time, given and withdrawn by a person. In force on the next hold."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.db.models.functions import Now

from budgets.models import Alert, Budget, BudgetRaise


class RaisedSince(Exception):
    """Somebody else raised the budget since the person who wants to had last looked."""


def latest(budget: Budget) -> int:
    """The id of the budget's latest raise, 0 before the first; a person who gives one says which was the latest then."""
    found = BudgetRaise.objects.filter(budget=budget).order_by("-pk").values_list("pk", flat=True).first()
    return found or 0


def give(
    budget: Budget, value: str, *, amount: Decimal, reason: str, expires_at: datetime, by: str, after: int | None = None
) -> BudgetRaise:
    """A raise of the budget's `value` (empty for one that is not divided), in what its limit is in.

    With `after` it is given only if the value had no raise since the one of that id: one click is one raise, however often it
    is sent. An open alert that the value was used up is over with it. Raises RaisedSince, or ValidationError when the
    values cannot be.
    """
    with transaction.atomic():
        budget = Budget.objects.select_for_update(no_key=True).get(pk=budget.pk)
        if after is not None and BudgetRaise.objects.filter(budget=budget, value=value, pk__gt=after).exists():
            raise RaisedSince
        row = BudgetRaise(budget=budget, value=value, amount=amount, reason=reason, expires_at=expires_at, by=by)
        row.full_clean()
        row.save()
        told = Alert.objects.filter(kind="budget_exhausted", detail__budget=budget.pk, detail__value=value)
        told.filter(resolved_at=None).update(resolved_at=Now(), resolution=f"Raised by {by}: {reason}"[:500])
    return row


def withdraw(raises: Iterable[BudgetRaise], *, by: str) -> list[BudgetRaise]:
    """Ends those of the raises that are in force; returns them."""
    with transaction.atomic():
        found = BudgetRaise.objects.in_force().filter(pk__in=[row.pk for row in raises])
        ended = list(found.select_for_update(of=("self",)).select_related("budget"))
        BudgetRaise.objects.filter(pk__in=[row.pk for row in ended]).update(withdrawn_at=Now(), withdrawn_by=by)
    return ended

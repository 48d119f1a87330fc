"""What switch rules do: one evaluation over all workers, a switch or an alert for each name that passed the bound."""

import logging
from collections.abc import Iterable
from datetime import timedelta
from itertools import groupby

from django.db import connection, transaction
from django.db.models.functions import Now

from budgets.models import Alert, Switch, SwitchFiring, SwitchTrigger
from budgets.outbox import open_alert
from gateway.switches import CannotSwitch, database_now, in_the_way, switch_off
from gateway.triggers.measure import TIMEOUT_MS, Measured, TookTooLong, measure

logger = logging.getLogger("tollhouse.switches")

#: First number of the advisory lock of each rule, whose id is the second; any that nobody else uses.
LOCK = 0x70_6C_6C_73


def fire_all() -> int:
    """Looks at every active rule, each in a transaction of its own; says how often one fired.

    Workers that look at the same moment leave out what another one is looking at.
    """
    active = SwitchTrigger.objects.filter(active=True)
    return sum(_fire(trigger) for trigger in active)


def _fire(trigger: SwitchTrigger) -> int:
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [LOCK, trigger.pk])
            if not cursor.fetchone()[0]:
                return 0
        try:
            found = measure(trigger)
        except TookTooLong:
            _blind(trigger)
            return 0
        by_value = groupby(sorted(found, key=lambda m: m.value), key=lambda m: m.value)
        return sum(_act(trigger, value, fresh) for value, group in by_value if (fresh := due(trigger, value, group)))


def due(trigger: SwitchTrigger, value: str, measured: Iterable[Measured]) -> list[Measured]:
    """What of this name's measurements the rule would fire for now: above the bound, not in its quiet time, not of an
    occasion that it fired for, and not where the name is switched off already.
    """
    over = [one for one in measured if one.over]
    if not over:
        return []
    fired = trigger.firings.filter(value=value)
    if fired.filter(at__gt=Now() - quiet(trigger)).exists():
        return []
    known = set(fired.filter(occasion__in=[m.occasion for m in over if m.occasion]).values_list("occasion", flat=True))
    fresh = [one for one in over if one.occasion not in known]
    if trigger.action == SwitchTrigger.Action.SWITCH and in_the_way(Switch(scope=trigger.scope, value=value)):
        return []
    return fresh


def quiet(trigger: SwitchTrigger) -> timedelta:
    """How long the rule leaves a name alone after it fired: its cool-down, and at least until it measures only calls from
    after its switch has lifted.
    """
    off = trigger.off_minutes if trigger.action == SwitchTrigger.Action.SWITCH else 0
    return timedelta(minutes=max(trigger.cooldown_minutes, off + trigger.minutes))


def _act(trigger: SwitchTrigger, value: str, measured: list[Measured]) -> int:
    words = "; ".join(one.words for one in measured)[:300]
    switch = None
    if trigger.action == SwitchTrigger.Action.SWITCH:
        try:
            switch = _switch_off(trigger, value, words)
        except CannotSwitch as error:
            logger.warning("switch rule %s did not switch %s %s off: %s", trigger, trigger.scope, value, error)
            return 0
    firings = [
        SwitchFiring(trigger=trigger, value=value, occasion=one.occasion, measured=one.words[:300], switch=switch)
        for one in measured
    ]
    first = SwitchFiring.objects.bulk_create(firings)[0]
    if switch is None:
        _alert(trigger, value, words, first)
    return 1


def _switch_off(trigger: SwitchTrigger, value: str, words: str) -> Switch:
    switch = Switch(
        scope=trigger.scope, value=value, running=trigger.running,
        reason=f"{words} (rule {trigger}: {trigger.bound})"[:500],
        expires_at=database_now() + timedelta(minutes=trigger.off_minutes),
    )  # fmt: skip
    return switch_off(switch, actor=f"rule {trigger}")


def _alert(trigger: SwitchTrigger, value: str, words: str, firing: SwitchFiring) -> None:
    open_alert(
        "switch_rule", Alert.Severity.WARNING, f"switch_rule:{firing.pk}",
        f"{trigger.scope} {value}".strip() + f": {words} (rule {trigger})",
        detail={"rule": trigger.name, "scope": trigger.scope, "value": value, "bound": trigger.bound},
        feature=value if trigger.scope == SwitchTrigger.Scope.FEATURE else "",
        ends_at=database_now() + quiet(trigger),
    )  # fmt: skip


def _blind(trigger: SwitchTrigger) -> None:
    """A rule that cannot be measured guards nothing, which somebody should know; told once a day."""
    logger.warning("switch rule %s could not be measured in %d ms", trigger, TIMEOUT_MS)
    open_alert(
        "switch_rule_blind", Alert.Severity.WARNING, f"switch_rule:{trigger.pk}:blind:{database_now():%Y-%m-%d}",
        f"The switch rule {trigger} could not be measured in {TIMEOUT_MS / 1000:.0f} seconds, so it guards nothing; "
        "give it fewer minutes, or a feature instead of everything.",
        detail={"rule": trigger.name}, ends_at=database_now() + timedelta(days=1),
    )  # fmt: skip

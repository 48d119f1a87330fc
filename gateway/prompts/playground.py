"""The playground: a prompt's content, live or not, tried on a route, within a budget of its own."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from budgets.models import SCOPE_FIELDS, Budget
from gateway import keys
from gateway.errors import BudgetExceeded
from gateway.facade import Reply, complete_ask
from gateway.models.catalog import PLAYGROUND
from gateway.types import Ask, Caller, Json, Trial

#: What the playground may spend in a day where nobody has said otherwise.
USD_A_DAY = Decimal(1)


def run(feature: str, content: Mapping[str, Json], variables: Mapping[str, Json], *, route: str, user: Any) -> Reply:
    """The model's reply to the rendered content, over the route of that name.

    It is a call of the feature like any other, with its policy, switches and budgets, and counts in the playground's
    budget on top of them. Raises GatewayError.
    """
    return _complete(feature, {}, Trial(content=content, route=route), user, variables)


def replay(feature: str, messages: Sequence[Json], *, route: str, user: Any) -> Reply:
    """As `run`, for messages as they are: nothing in them is a template. Raises GatewayError."""
    return _complete(feature, {"messages": list(messages)}, Trial(content={}, route=route), user, None)


def _complete(
    feature: str, body: Mapping[str, Json], trial: Trial, user: Any, variables: Mapping[str, Json] | None
) -> Reply:
    if not in_force(budget()):
        raise BudgetExceeded(
            "The playground's budget is off, not in money, of fixed dates or of each value, or lets calls go on over another "
            "route; mend it first."
        )
    caller = Caller(user_ref=keys.user_ref(str(user.pk)), key=PLAYGROUND, source=PLAYGROUND)
    return complete_ask(
        Ask(feature=feature, operation="chat", body=body, caller=caller, variables=variables, trial=trial)
    )


def budget() -> Budget:
    """The playground's budget, which is edited like any other; made where there is none."""
    own = Budget.objects.filter(**dict.fromkeys(SCOPE_FIELDS, "") | {"key": PLAYGROUND})
    found = sorted(own, key=in_force)
    if found:
        return found[-1]
    return Budget.objects.get_or_create(key=PLAYGROUND, metric="usd", period="day", defaults={"limit": USD_A_DAY})[0]


def in_force(row: Budget) -> bool:
    """Whether the budget stops calls that cost too much, all of them together and at any time."""
    always = row.period != Budget.Period.RANGE and not row.each
    return always and row.active and row.metric == Budget.Metric.USD and row.on_hard in ("block", "ask")

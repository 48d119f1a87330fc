"""The gate's pages in the Django admin."""

from gateway.admin import (
    alerts,
    audit,
    bills,
    budgets,
    calls,
    catalog,
    channels,
    datasets,
    deployments,
    exports,
    keys,
    ledger,
    limits,
    people,
    policies,
    prices,
    prompts,
    raises,
    rates,
    retention,
    switches,
    triggers,
)

__all__ = [
    "alerts", "audit", "bills", "budgets", "calls", "catalog", "channels", "datasets", "deployments", "exports", "keys",
    "ledger", "limits", "people", "policies", "prices", "prompts", "raises", "rates", "retention", "switches", "triggers",
]  # fmt: skip

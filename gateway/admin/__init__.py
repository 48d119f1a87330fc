"""The gate's pages in the Django admin."""

from gateway.admin import audit, budgets, calls, catalog, deployments, keys, ledger, policies, prices, prompts, rates

__all__ = [
    "audit",
    "budgets",
    "calls",
    "catalog",
    "deployments",
    "keys",
    "ledger",
    "policies",
    "prices",
    "prompts",
    "rates",
]

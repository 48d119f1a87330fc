"""The gate's pages in the Django admin."""

from gateway.admin import audit, bills, budgets, calls, catalog, deployments, keys, ledger, policies, prices, prompts

__all__ = [
    "audit",
    "bills",
    "budgets",
    "calls",
    "catalog",
    "deployments",
    "keys",
    "ledger",
    "policies",
    "prices",
    "prompts",
]

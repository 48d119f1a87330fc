"""The gate's pages in the Django admin."""

from gateway.admin import audit, calls, catalog, ledger, prices, prompts

__all__ = ["audit", "calls", "catalog", "ledger", "prices", "prompts"]

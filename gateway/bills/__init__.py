"""Vendors' bills beside the ledger: read their exports, compare by day, model and key, name likely causes, book differences."""

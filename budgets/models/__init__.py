"""Budgets, their windows, kill switches, rate limits and the alerts that they raise."""

from budgets.models.alert import Alert
from budgets.models.budget import AMOUNT_DIGITS, SCOPE_FIELDS, Budget, Window
from budgets.models.rate_limit import Bucket, RateLimit
from budgets.models.switch import Switch

__all__ = ["AMOUNT_DIGITS", "SCOPE_FIELDS", "Alert", "Bucket", "Budget", "RateLimit", "Switch", "Window"]

"""Budgets, their windows, kill switches, rate limits and the alerts that they raise."""

from budgets.models.alert import Alert
from budgets.models.budget import AMOUNT_DIGITS, IDENTITY, SCOPE_FIELDS, USD, Budget
from budgets.models.delivery import AlertRoute, Channel, Delivery
from budgets.models.forecast import Forecast, WindowSample
from budgets.models.rate import Rate
from budgets.models.rate_limit import Bucket, RateLimit
from budgets.models.switch import Switch
from budgets.models.trigger import SwitchFiring, SwitchTrigger
from budgets.models.window import BudgetRaise, Window

__all__ = [
    "AMOUNT_DIGITS", "IDENTITY", "SCOPE_FIELDS", "USD", "Alert", "AlertRoute", "Bucket", "Budget", "BudgetRaise", "Channel",
    "Delivery", "Forecast", "Rate", "RateLimit", "Switch", "SwitchFiring", "SwitchTrigger", "Window", "WindowSample",
]  # fmt: skip

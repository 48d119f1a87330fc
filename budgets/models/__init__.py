"""Budgets, their windows, kill switches and the alerts that they raise."""

from budgets.models.alert import Alert
from budgets.models.budget import AMOUNT_DIGITS, SCOPE_FIELDS, Budget, Window
from budgets.models.delivery import AlertRoute, Channel, Delivery
from budgets.models.forecast import Forecast, WindowSample
from budgets.models.switch import Switch
from budgets.models.trigger import SwitchFiring, SwitchTrigger

__all__ = [
    "AMOUNT_DIGITS", "SCOPE_FIELDS", "Alert", "AlertRoute", "Budget", "Channel", "Delivery", "Forecast", "Switch",
    "SwitchFiring", "SwitchTrigger", "Window", "WindowSample",
]  # fmt: skip

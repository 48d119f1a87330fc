"""Budgets, their windows, kill switches and the alerts that they raise."""

from budgets.models.alert import Alert
from budgets.models.budget import AMOUNT_DIGITS, SCOPE_FIELDS, Budget, Window
from budgets.models.forecast import Forecast, WindowSample
from budgets.models.switch import Switch

__all__ = ["AMOUNT_DIGITS", "SCOPE_FIELDS", "Alert", "Budget", "Forecast", "Switch", "Window", "WindowSample"]

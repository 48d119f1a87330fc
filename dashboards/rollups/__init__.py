"""Sums of calls by hour and by day, kept exact while rows come; see docs/rollups.md.

Pages read `figures`, `quantiles` and `entities`; the worker's job and the command `rollups` are in `roll` and `rebuild`.
"""

from dashboards.rollups.found import Figures, Found, Quantiles
from dashboards.rollups.read import TooMuchData, amounts, entities, figures, quantiles

__all__ = ["Figures", "Found", "Quantiles", "TooMuchData", "amounts", "entities", "figures", "quantiles"]

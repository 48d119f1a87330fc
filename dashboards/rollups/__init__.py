"""Sums of calls by hour and by day, kept exact while rows come; see docs/rollups.md.

Pages read `figures`, `amounts`, `dearest`, `latencies` and `entities`; the worker's job and the command `rollups` are in
`roll` and `rebuild`.
"""

from dashboards.rollups.found import Figures, Found, Quantiles
from dashboards.rollups.query import TooMuchData, one_snapshot
from dashboards.rollups.read import Latencies, amounts, dearest, entities, figures, latencies

__all__ = [
    "Figures",
    "Found",
    "Latencies",
    "Quantiles",
    "TooMuchData",
    "amounts",
    "dearest",
    "entities",
    "figures",
    "latencies",
    "one_snapshot",
]

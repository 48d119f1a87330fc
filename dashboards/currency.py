"""The currency that dashboards report in: the ledger's US dollars, by the dated rates of the day that they were spent."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from django.utils import timezone

from budgets.models import USD, Rate
from dashboards.cause_words import short_usd
from gateway.conf import settings

SIGNS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency's code and its rates to one US dollar, each from a day on, the newest first; none for the US dollar itself.

    `problem` says why it is not the one that the settings name.
    """

    code: str = USD
    rates: Sequence[tuple[date, Decimal]] = ()
    problem: str = ""

    @property
    def dated(self) -> bool:
        """Whether amounts of different days have to be converted apart."""
        return bool(self.rates)

    @property
    def sign(self) -> str:
        return SIGNS.get(self.code, f"{self.code} ")

    def of(self, usd: Decimal, at: datetime | None = None) -> Decimal:
        """An amount spent at that time (default: now). The days before the first rate count by the first."""
        if not self.rates:
            return usd
        day = timezone.localdate(at)
        return usd * next((per_usd for since, per_usd in self.rates if since <= day), self.rates[-1][1])

    def shown(self, amount: Decimal | None) -> str:
        """An amount of it, in cents or with three digits that count; `–` for None."""
        return short_usd(amount).replace("$", self.sign)

    def exact(self, amount: Decimal) -> str:
        """An amount of it, to the cent."""
        return f"{'−' if amount < 0 else ''}{self.sign}{abs(amount):,.2f}"


def reporting() -> Currency:
    """The currency of the setting REPORTING_CURRENCY; US dollars, and why, where it has no rate yet."""
    code = settings().REPORTING_CURRENCY
    if code == USD:
        return Currency()
    rows = Rate.objects.filter(currency=code).order_by("-effective_from", "-id")
    rates: dict[date, Decimal] = {}
    for since, per_usd in rows.values_list("effective_from", "per_usd"):
        # Of two of a day the one that was written later counts.
        rates.setdefault(since, per_usd)
    if not rates:
        return Currency(problem=f"There is no rate for {code}, so amounts are in US dollars. Add one under Rates.")
    return Currency(code, tuple(rates.items()))

"""Why spend changed: what each value of a dimension (a tenant, a model) contributed. Arithmetic alone, no database.

A change has two parts: volume, which is the calls that came or went at the cost per call that all calls had before, and price,
which is what the calls cost more or less than that. Both add up to the change, of each value and of all.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

#: What calls are told apart by, the likeliest reason first: of two that explain the same, the first is named.
DIMENSIONS = ("prompt_version", "model", "tenant", "cohort", "key", "user_ref")
#: Of these one value takes another's place: a new version serves the calls of the old one.
REPLACEABLE = ("prompt_version", "model", "cohort", "key")
#: Spend is as before when it changed by less than this share of it.
SAME = Decimal("0.05")
#: A value stands out when it explains this share of the change, and this much more of it than if all had changed alike.
MOST, EXCESS = Decimal("0.5"), Decimal("0.25")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """What calls cost in US dollars, and how many they were."""

    usd: Decimal = Decimal(0)
    calls: int = 0

    @property
    def per_call(self) -> Decimal | None:
        """US dollars a call; None without calls."""
        return self.usd / self.calls if self.calls else None

    def __sub__(self, other: "Spend") -> "Spend":
        return Spend(usd=self.usd - other.usd, calls=self.calls - other.calls)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Spend now and in the time before."""

    now: Spend
    before: Spend

    @property
    def change(self) -> Decimal:
        """US dollars that were spent more, or less, than before."""
        return self.now.usd - self.before.usd

    @property
    def same(self) -> bool:
        """Whether about as much was spent as before."""
        return abs(self.change) <= SAME * self.before.usd

    def __sub__(self, other: "Compared") -> "Compared":
        return Compared(now=self.now - other.now, before=self.before - other.before)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What the calls with a value contributed to a change. `share` is theirs of it; below 0 they went against it, and beyond
    1 others did. `effect` is the share that they explain when calls that only moved from one value to another are left out,
    `expected` the share that they would explain had all calls changed alike."""

    value: str
    spend: Compared
    volume_usd: Decimal
    price_usd: Decimal
    share: Decimal
    effect: Decimal
    expected: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """The values of a dimension that contributed most, and all `others`, if any, as one: that many."""

    name: str
    causes: tuple[Cause, ...]
    others: Cause | None
    other_values: int

    @property
    def alike(self) -> bool:
        """Whether all calls have the same value, so that it tells nothing apart."""
        return len(self.causes) < 2 and self.others is None


def dimension(name: str, whole: Compared, values: Mapping[str, Compared], of_values: int) -> Dimension:
    """The contributions of `values`, some of a dimension that has `of_values`; together with the others they are the `whole`."""
    rest = whole
    for compared in values.values():
        rest -= compared
    other_values = of_values - len(values)
    parts = [*values.items(), *([("", rest)] if other_values else [])]
    moves = [compared.now.calls - compared.before.calls for _, compared in parts]
    rises, falls = sum(move for move in moves if move > 0), -sum(move for move in moves if move < 0)
    flow = _Flow(whole=whole, rises=rises, falls=falls, replaceable=name in REPLACEABLE)
    found = [_cause(value, compared, flow) for value, compared in parts]
    others = found.pop() if other_values else None
    return Dimension(name=name, causes=tuple(found), others=others, other_values=other_values)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Flow:
    """How calls of a dimension moved: those that its values have more, and less, than before."""

    whole: Compared
    rises: int
    falls: int
    replaceable: bool


def _cause(value: str, spend: Compared, flow: _Flow) -> Cause:
    change, all_before = flow.whole.change, flow.whole.before
    usual = all_before.per_call or Decimal(0)
    move = spend.now.calls - spend.before.calls
    volume = round(usual * move, 9)
    price = spend.change - volume
    # Of the calls that a value has more, as many came from other values as those have less; the rest is new.
    net = flow.rises - flow.falls
    kept = move * abs(net) / Decimal(flow.rises if net > 0 else flow.falls) if move * net > 0 else Decimal(0)
    took_over = move - kept if flow.replaceable and move > 0 else Decimal(0)
    had_calls = _of(spend.before.calls + took_over, Decimal(all_before.calls))
    had_usd = _of(spend.before.usd, all_before.usd) if all_before.usd else had_calls
    by_volume = _of(usual * net, change)
    return Cause(
        value=value, spend=spend, volume_usd=volume, price_usd=price, share=_of(spend.change, change),
        effect=_of(price + usual * kept, change), expected=by_volume * had_calls + (1 - by_volume) * had_usd,
    )  # fmt: skip


def standing_out(whole: Compared, dimensions: Iterable[Dimension]) -> list[tuple[str, Cause]]:
    """The value of each dimension that explains most of the change, if one does, as (dimension, cause); the clearest first.

    A value that changed as all the others did explains nothing, even if most of the calls are its own.
    Empty where spend did not change, or there is nothing to compare with.
    """
    if whole.same or not whole.before.calls:
        return []
    found: list[tuple[Decimal, str, Cause]] = []
    for kind in dimensions:
        scored = [
            (min(cause.effect, Decimal(1)) - cause.expected, cause) for cause in kind.causes if cause.effect >= MOST
        ]
        if scored and (best := max(scored, key=lambda item: item[0]))[0] >= EXCESS:
            found.append((best[0], kind.name, best[1]))
    found.sort(key=lambda item: (-round(item[0], 1), DIMENSIONS.index(item[1])))
    return [(name, cause) for _, name, cause in found]


def _of(part: Decimal, whole: Decimal) -> Decimal:
    return part / whole if whole else Decimal(0)

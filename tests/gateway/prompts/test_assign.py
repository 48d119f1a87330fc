"""The split is as uneven as its weights, and stays."""

from collections import Counter
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from gateway.prompts.assign import pick


@dataclass(frozen=True)
class Version:
    name: str
    weight: int


def share(live, units=20_000):
    counted = Counter(pick(live, feature="f", unit=str(unit)).name for unit in range(units))
    return {name: count / units for name, count in counted.items()}


def test_units_split_by_weight():
    found = share([Version("a", 1), Version("b", 3), Version("c", 6)])
    assert abs(found["a"] - 0.1) < 0.01
    assert abs(found["b"] - 0.3) < 0.015
    assert abs(found["c"] - 0.6) < 0.015


@given(st.text(), st.lists(st.integers(1, 1000), min_size=1, max_size=5))
def test_a_unit_keeps_its_version(unit, weights):
    live = [Version(str(i), weight) for i, weight in enumerate(weights)]
    assert pick(live, feature="f", unit=unit) == pick(live, feature="f", unit=unit)


def test_a_ramp_moves_only_the_units_between():
    before, after = [Version("old", 90), Version("new", 10)], [Version("old", 80), Version("new", 20)]
    for unit in map(str, range(5000)):
        if pick(before, feature="f", unit=unit).name == "new":
            assert pick(after, feature="f", unit=unit).name == "new"

"""The split is as uneven as its weights, and stays."""

from collections import Counter
from dataclasses import dataclass

import pytest
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


def chi_square(live, units):
    """How far the counts of units are from the weights; its mean is the number of versions less one."""
    counted, total = Counter(), sum(version.weight for version in live)
    drawn = 0
    for unit in units:
        counted[pick(live, feature="f", unit=unit).name] += 1
        drawn += 1
    expected = {version.name: drawn * version.weight / total for version in live}
    return sum((counted[name] - wanted) ** 2 / wanted for name, wanted in expected.items())


@pytest.mark.parametrize("shape", ["{}", "tenant-{}", "user@{}.example.com", "{:032x}"])
@pytest.mark.parametrize("weights", [[1, 1], [90, 10], [5, 3, 2], [1] * 8])
def test_the_split_is_as_uniform_as_chance_whatever_units_look_like(shape, weights):
    live = [Version(str(number), weight) for number, weight in enumerate(weights)]
    # 24.3 is the 0.999 quantile for seven degrees of freedom, and more than that of fewer ones.
    assert chi_square(live, map(shape.format, range(20_000))) < 24.3


def test_features_split_their_units_independently():
    live = [Version("a", 1), Version("b", 1)]
    both = Counter(
        (pick(live, feature="f", unit=unit).name, pick(live, feature="g", unit=unit).name)
        for unit in map(str, range(20_000))
    )
    # 16.3 is the 0.999 quantile for three degrees of freedom.
    assert sum((count - 5000) ** 2 / 5000 for count in both.values()) < 16.3


@given(st.integers(1, 99), st.integers(0, 99), st.text(min_size=1))
def test_a_ramp_never_takes_a_unit_back(before, more, unit):
    after = min(before + more, 99)
    ramp = [[Version("old", 100 - share), Version("new", share)] for share in (before, after)]
    if pick(ramp[0], feature="f", unit=unit).name == "new":
        assert pick(ramp[1], feature="f", unit=unit).name == "new"


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

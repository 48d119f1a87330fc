"""What is said of two versions is what is proven."""

from random import Random

import pytest

from dashboards.pages.compare import _student, difference, mean, proportion, ratio, together, verdict


def test_wilson_s_interval_is_that_of_the_literature():
    # Newcombe (1998), table I: 81 of 263, method 3.
    found = proportion(81, 263)
    assert (round(found.low, 4), round(found.high, 4)) == (0.2553, 0.3662)
    assert proportion(0, 0) is None
    assert proportion(0, 20).low == 0 and proportion(0, 20).high == pytest.approx(0.1611, abs=1e-4)


def test_newcombe_s_interval_is_that_of_the_literature():
    # Newcombe (1998), interval estimation for the difference, table II (a): 56/70 - 48/80, method 10.
    found = difference(proportion(48, 80), proportion(56, 70))
    assert (round(found.low, 4), round(found.high, 4)) == (0.0524, 0.3339)


def slices(random, usual, number=40):
    """Hours of calls that cost `usual` each but for chance, of the hour and of each call."""
    found = []
    for _ in range(number):
        calls, hour = random.randint(20, 60), random.gauss(1, 0.1)
        found.append((sum(usual * hour * random.uniform(0.5, 1.5) for _ in range(calls)), calls))
    return found


def test_intervals_of_means_hold_as_often_as_they_say():
    random = Random(7)
    held = sum(1 for _ in range(400) if (m := mean(slices(random, 1.0, 12))) and m.low <= 1 <= m.high)
    assert 0.92 <= held / 400 <= 0.98


def test_of_many_alike_hardly_ever_one_seems_to_differ():
    random, pages = Random(5), 0
    z = together(42)
    assert together(1) == pytest.approx(together(0)) == pytest.approx(1.96, abs=1e-3) and z == pytest.approx(
        3.242, abs=1e-3
    )
    for _ in range(150):
        first, *others = (sum(random.random() < 0.9 for _ in range(100)) for _ in range(43))
        found = (difference(proportion(first, 100, z), proportion(other, 100, z)) for other in others)
        pages += any(not one.low <= 0 <= one.high for one in found)
    assert pages / 150 < 0.08


def test_student_s_quantiles_are_those_of_the_tables():
    for freedom, z, t in ((5, 1.959964, 2.571), (5, 3.290527, 6.869), (30, 2.575829, 2.750)):
        assert _student(freedom, z) == pytest.approx(t, rel=0.02)


def test_a_difference_of_cost_is_proven_or_not():
    random = Random(3)
    one, cheaper, alike = (mean(slices(random, usual)) for usual in (1.0, 0.8, 1.0))
    found = ratio(one, cheaper)
    assert found.low < 0.8 < found.high < 1
    alike_quality = difference(proportion(95, 100), proportion(94, 100))
    assert "cheaper; quality difference not proven." in verdict("b", found, alike_quality)
    worse = difference(proportion(950, 1000), proportion(800, 1000))
    told = verdict("b", ratio(one, alike), worse)
    assert "not proven; it succeeds less often, by 15.0 points" in told


def test_few_calls_prove_nothing():
    assert mean([(1.0, 3)] * 5) is None and mean([(1.0, 2)] * 10) is None
    assert mean([(1.0, 10)] * 6) is not None
    assert verdict("b", None, None) == "There are too few calls to say anything of b."
    assert ratio(mean([(0.0, 10)] * 8), mean([(1.0, 10)] * 8)) is None

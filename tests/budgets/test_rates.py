"""The bucket's arithmetic: never more than burst + rate × time, in any interval, whatever the clock does."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from budgets.rates import PARTS, Bucket, LimitRule, Limits, Shortage, tightest

T0 = datetime(2026, 3, 1, tzinfo=UTC)


def limit_of(**values):
    return LimitRule(**{"id": 1, "scope": ("", "", "", "", ""), **values})


def bucket_of(at=T0):
    return Bucket(None, None, 0, at)


def at(seconds):
    return T0 + timedelta(seconds=seconds)


def admit(bucket, rule, now, *, tokens=0):
    """What the ledger does for a call: None when it passed, else what it lacks."""
    bucket.refill(rule, now)
    lack = bucket.shortage(rule, requests=1, tokens=tokens, places=1)
    if lack is None:
        bucket.change(rule, requests=-1, tokens=-tokens, in_flight=1)
    return lack


class OneBucket(RuleBasedStateMachine):
    """Calls come, end and are given up while time passes; the model is an exact fraction for each level."""

    @initialize(
        rpm=st.integers(1, 10_000),
        tpm=st.integers(1, 1_000_000),
        concurrent=st.integers(1, 5),
        burst_s=st.integers(1, 120),
    )
    def start(self, rpm, tpm, concurrent, burst_s):
        self.limit = limit_of(requests_per_minute=rpm, tokens_per_minute=tpm, concurrent=concurrent, burst_s=burst_s)
        self.full = [max(Fraction(1), Fraction(rate * burst_s, 60)) for rate in (rpm, tpm)]
        self.bucket, self.clock, self.us = bucket_of(), T0, 0
        self.model = list(self.full)
        self.under_way: list[int] = []
        #: Moment (microseconds of real time) of each admitted call, and its tokens for good: held, then what it used.
        self.admitted: list[list[int]] = []

    @rule(us=st.integers(0, 120_000_000))
    def time_passes(self, us):
        self.us += us
        self.clock += timedelta(microseconds=us)
        rates = (self.limit.requests_per_minute, self.limit.tokens_per_minute)
        self.model = [min(f, m + Fraction(r * us, PARTS)) for f, m, r in zip(self.full, self.model, rates, strict=True)]

    @rule(tokens=st.integers(0, 50_000))
    def a_call_comes(self, tokens):
        fits = self.model[0] >= 1 and self.model[1] >= tokens and len(self.under_way) < self.limit.concurrent
        lack = admit(self.bucket, self.limit, self.clock, tokens=tokens)
        assert (lack is None) == fits
        if fits:
            self.model[0] -= 1
            self.model[1] -= tokens
            self.admitted.append([self.us, tokens])
            self.under_way.append(len(self.admitted) - 1)
        elif lack.of != "concurrent":
            self._waits_are_exact(lack, tokens)

    def _waits_are_exact(self, lack, tokens):
        level, rate = (
            (0, self.limit.requests_per_minute) if lack.of == "requests" else (1, self.limit.tokens_per_minute)
        )
        need = 1 if lack.of == "requests" else tokens
        if lack.wait_s is None:
            assert need > self.full[level]
            return
        wait_us = round(lack.wait_s * 1_000_000)
        assert self.model[level] + Fraction(rate * wait_us, PARTS) >= need
        assert self.model[level] + Fraction(rate * (wait_us - 1), PARTS) < need

    @rule(share=st.integers(0, 100), which=st.integers(0, 4))
    def a_call_ends(self, share, which):
        if not self.under_way:
            return
        call = self.admitted[self.under_way.pop(which % len(self.under_way))]
        used = call[1] * share // 100
        self.bucket.refill(self.limit, self.clock)
        self.bucket.change(self.limit, tokens=call[1] - used, in_flight=-1)
        self.model[1] = min(self.full[1], self.model[1] + call[1] - used)
        call[1] = used

    @invariant()
    def levels_are_the_models(self):
        if hasattr(self, "bucket"):
            self.bucket.refill(self.limit, self.clock)
            assert [Fraction(self.bucket.requests, PARTS), Fraction(self.bucket.tokens, PARTS)] == self.model
            assert all(0 <= m <= f for m, f in zip(self.model, self.full, strict=True))
            assert self.bucket.in_flight == len(self.under_way)

    @invariant()
    def no_interval_lets_more_through(self):
        """Requests in any interval that ends at the last call: at most the burst and what came in meanwhile."""
        if getattr(self, "admitted", None):
            last = self.admitted[-1][0]
            for count, (began, _) in enumerate(reversed(self.admitted), 1):
                assert count <= self.full[0] + Fraction(self.limit.requests_per_minute * (last - began), PARTS)


TestOneBucket = OneBucket.TestCase


@given(st.lists(st.integers(-10_000, 10_000), max_size=40), st.integers(1, 600), st.integers(1, 60))
def test_a_clock_that_jumps_back_refills_nothing_and_gives_no_free_burst(jumps, rpm, burst_s):
    rule = limit_of(requests_per_minute=rpm, burst_s=burst_s)
    bucket, now, passed, forward = bucket_of(), T0, 0, 0
    full = max(Fraction(1), Fraction(rpm * burst_s, 60))
    for ms in jumps:
        now += timedelta(milliseconds=ms)
        forward += max(0, ms)
        before = bucket.requests
        passed += admit(bucket, rule, now) is None
        if ms <= 0 and before is not None:
            assert bucket.requests <= before
        assert 0 <= bucket.requests <= full * PARTS
        assert passed <= full + Fraction(rpm * forward, 60_000)


def test_a_clock_set_back_by_an_hour_does_not_stop_the_refill_for_an_hour():
    rule, bucket = limit_of(requests_per_minute=60, burst_s=1), bucket_of()
    assert admit(bucket, rule, T0) is None
    assert admit(bucket, rule, at(-3600)) == Shortage("requests", 1.0)
    assert admit(bucket, rule, at(-3599)) is None


def test_a_minutes_worth_passes_at_once_and_then_one_a_second():
    rule, bucket = limit_of(requests_per_minute=60), bucket_of()
    assert [admit(bucket, rule, T0) for _ in range(61)] == [*[None] * 60, Shortage("requests", 1.0)]
    assert admit(bucket, rule, at(0.25)) == Shortage("requests", 0.75)
    assert admit(bucket, rule, at(1)) is None
    assert bucket.rates(rule).requests == (60, 0, 60.0)


def test_at_least_one_call_fits_whatever_the_burst():
    rule, bucket = limit_of(requests_per_minute=1, burst_s=1), bucket_of()
    assert admit(bucket, rule, T0) is None
    assert admit(bucket, rule, at(59.9)) == Shortage("requests", 0.1)
    assert admit(bucket, rule, at(60)) is None


def test_more_tokens_than_the_burst_can_never_pass():
    rule, bucket = limit_of(tokens_per_minute=1000), bucket_of()
    assert admit(bucket, rule, T0, tokens=1001) == Shortage("tokens", None)
    assert admit(bucket, rule, T0, tokens=1000) is None
    assert admit(bucket, rule, T0, tokens=500) == Shortage("tokens", 30.0)


def test_of_several_lacks_the_longest_wait_counts():
    rule = limit_of(requests_per_minute=60, tokens_per_minute=60, concurrent=1, burst_s=1)
    bucket = bucket_of()
    assert admit(bucket, rule, T0, tokens=1) is None
    assert admit(bucket, rule, at(0.5), tokens=1) == Shortage("concurrent", 1.0)
    assert admit(bucket, rule, at(0.5), tokens=2) == Shortage("tokens", None)


def test_an_overrun_empties_the_bucket_and_no_more():
    rule, bucket = limit_of(tokens_per_minute=1000), bucket_of()
    assert admit(bucket, rule, T0, tokens=900) is None
    bucket.change(rule, tokens=900 - 5000, in_flight=-1)
    assert (bucket.tokens, bucket.in_flight) == (0, 0)


def test_a_limit_that_changes_keeps_its_level_up_to_the_new_burst():
    bucket = bucket_of()
    for _ in range(10):
        assert admit(bucket, limit_of(requests_per_minute=60), T0) is None
    lowered, raised = limit_of(requests_per_minute=6), limit_of(requests_per_minute=600)
    bucket.refill(lowered, T0)
    assert bucket.rates(lowered).requests.remaining == 6
    bucket.refill(raised, at(1))
    assert bucket.rates(raised).requests.remaining == 16
    bucket.refill(limit_of(tokens_per_minute=5), at(1))
    assert bucket.requests is None
    bucket.refill(lowered, at(1))
    assert bucket.rates(lowered).requests.remaining == 6, "a rate that is limited anew begins full"


@pytest.mark.parametrize(
    ("values", "scope", "found"),
    [
        ({}, ("f", "t", "k", "u", "c", "m", "p"), [(1, "")]),
        ({"scope": ("f", "", "", "", "")}, ("f", "t", "", "", "", "", ""), [(1, "")]),
        ({"scope": ("f", "", "", "", "")}, ("g", "t", "", "", "", "", ""), []),
        ({"scope": ("f", "t", "", "", "")}, ("f", "t", "k", "", "", "", ""), [(1, "")]),
        ({"scope": ("f", "t", "", "", "")}, ("f", "s", "k", "", "", "", ""), []),
        ({"scope": ("f", "", "", "", ""), "each": "tenant"}, ("f", "t", "k", "", "", "", ""), [(1, "t")]),
        ({"each": "user"}, ("f", "t", "k", "", "", "", ""), [(1, "")]),
        ({"each": "tenant"}, ("f", "a\0b", "k", "", "", "", ""), [(1, "a\ufffdb")]),
    ],
)
def test_which_bucket_a_call_takes_from(values, scope, found):
    assert Limits([limit_of(requests_per_minute=1, **values)]).of(scope) == found


def test_the_tightest_of_several_is_shown():
    wide, narrow = limit_of(requests_per_minute=60, tokens_per_minute=10), limit_of(requests_per_minute=6)
    found = tightest([bucket_of().rates(wide), bucket_of().rates(narrow)])
    assert (found.requests, found.tokens) == ((6, 6, 0.0), (10, 10, 0.0))
    assert tightest([bucket_of().rates(limit_of(concurrent=1))]) == (None, None)

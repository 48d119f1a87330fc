"""Calls of the demo as lines for COPY, made by the hour with numpy. The same seed makes the same calls."""

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboards.demo import story
from dashboards.demo.story import COHORTS, FEATURES, SPEEDS, DemoFeature

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

COLUMNS = (
    "id", "feature", "tenant", "user_ref", "cohort", "session_id", "key", "source", "labels", "prompt_version", "variant",
    "operation", "route", "provider", "model_asked", "model_served", "attempts", "fallback_from", "streamed", "cache_hit",
    "input_tokens", "cache_read_tokens", "cache_write_tokens", "audio_input_tokens", "output_tokens", "reasoning_tokens",
    "audio_output_tokens", "usage_estimated", "usage_adds_up", "price_id", "cost_usd", "held_usd", "overrun_usd",
    "latency_ms", "first_token_ms", "gate_ms", "redaction_ms", "trace", "tool_calls", "outcome", "error_class", "reason",
    "http_status", "finish_reason", "entities", "policy", "trace_id", "span_id", "parent", "spooled",
)  # fmt: skip
LINE = "\t".join(["%s"] * len(COLUMNS)) + "\n"
#: How much is called at each hour of a working day.
HOURS = np.array([9, 7, 6, 6, 7, 10, 18, 34, 62, 84, 95, 98, 88, 92, 100, 97, 88, 70, 52, 42, 34, 27, 19, 13], float)
WEEKEND = 0.35
REASONS = {
    "provider_error": ("ProviderError", "The provider answered with an error (503).", 503),
    "timeout": ("ProviderTimeout", "No answer within 60 s.", 504),
    "refused_policy": ("PolicyRefused", "The policy refuses texts with such personal data.", 400),
    "refused_budget": ("BudgetExceeded", "The budget of this feature is spent for the day.", 429),
    "refused_switch": ("FeatureDisabled", "Switched off: a script called it in a loop.", 503),
    "refused_rate": ("RateLimited", "The rate limit is reached. Try again in a moment.", 429),
    "lost": ("", "The process that made this call ended before it was settled; all that was held counts as spent.", None),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """A model's price: its row's id, and pico-dollars a token, by part."""

    id: int
    input: int
    cache_read: int
    output: int


class Traffic:
    """Calls of some days that end at `until` (aware), so many in all; `prices` by target, `versions` by feature."""

    def __init__(
        self, until: datetime, days: int, calls: int, seed: int, prices: Mapping[str, Price],
        versions: Mapping[str, tuple[str, ...]],
    ) -> None:  # fmt: skip
        self.until, self.days, self.calls = until, days, calls
        self.prices, self.versions = prices, versions
        self.random = np.random.default_rng(seed)
        ranks = np.arange(story.TENANTS)
        weights = 1 / (ranks + 4) ** 1.15
        self._tenant_shares = weights / weights.sum()
        self._tenants = np.array([f"{name}-{n}" for n, name in enumerate(_names(story.TENANTS))])
        self._cohort_of = self.random.choice(COHORTS, story.TENANTS, p=[0.86, 0.11, 0.03])
        owners = self.random.choice(story.TENANTS, story.USERS, p=self._tenant_shares)
        self._users = np.array([hashlib.sha256(f"{seed} {n}".encode()).hexdigest()[:32] for n in range(story.USERS)])
        #: Users of each tenant stand together, so that one is found by a share of its tenant's stretch.
        owners.sort()
        self._first = np.searchsorted(owners, ranks)
        self._count = np.maximum(np.searchsorted(owners, ranks, side="right") - self._first, 1)

    def hours(self) -> Iterator[tuple[datetime, list[str]]]:
        """The calls of each hour, as lines."""
        start = self.until - timedelta(days=self.days)
        begins = [start + timedelta(hours=n) for n in range(self.days * 24)]
        weights = np.array([_busy(at, start) for at in begins])
        counts = self.random.multinomial(self.calls, weights / weights.sum())
        for at, count in zip(begins, counts, strict=True):
            days_left = (self.until - at) / timedelta(days=1)
            shares = np.array([f.share for f in FEATURES])
            if _is_runaway(at, days_left):
                # A script of one team's calls in a loop.
                shares[_index("sales.research")] *= 9
            picked = self.random.multinomial(count, shares / shares.sum())
            parts = [
                self._calls(feature, at, int(n), days_left) for feature, n in zip(FEATURES, picked, strict=True) if n
            ]
            yield at, sorted(line for part in parts for line in part)

    def _calls(self, feature: DemoFeature, at: datetime, n: int, days_left: float) -> list[str]:
        ms = int(at.timestamp() * 1000) + self.random.integers(0, 3_600_000, n)
        who = self._who(feature, n)
        first, second = feature.targets
        if feature.slug == "editor.improve" and days_left > story.DEARER:
            # Before it moved to a dearer model.
            first = story.HAIKU
        down = first.startswith("openai/") and 14 <= at.hour < 16 and int(days_left) == story.OUTAGE
        roll = self.random.random(n)
        failed = roll < (0.22 if down else 0.004)
        fell_back = ~failed & (self.random.random(n) < (0.9 if down else 0.003))
        outcome = np.full(n, "ok", dtype="U16")
        outcome[self.random.random(n) < 0.012] = "truncated"
        outcome[self.random.random(n) < 0.0015] = "filtered"
        outcome[self.random.random(n) < 0.006] = "cancelled"
        outcome[failed] = np.where(self.random.random(int(failed.sum())) < 0.6, "provider_error", "timeout")
        self._refuse(outcome, feature, at, days_left)
        outcome[self.random.random(n) < 0.0002] = "lost"
        return self._lines(feature, ms, who, (first, second), outcome, fell_back, days_left)

    def _who(self, feature: DemoFeature, n: int) -> dict[str, Any]:
        tenant = self.random.choice(story.TENANTS, n, p=self._tenant_shares)
        place = (self.random.random(n) ** 2 * self._count[tenant]).astype(int)
        user = np.minimum(self._first[tenant] + place, story.USERS - 1)
        return {"tenant": tenant, "user": user, "http": self.random.random(n) < feature.http}

    def _refuse(self, outcome: NDArray[Any], feature: DemoFeature, at: datetime, days_left: float) -> None:
        chance = self.random.random(len(outcome))
        if feature.slug == "hr.screening":
            outcome[chance < 0.03] = "refused_policy"
        if feature.slug == "sales.research" and _is_runaway(at, days_left):
            outcome[chance < (0.9 if at.hour > 12 else 0.0)] = "refused_switch"
        elif feature.slug == "sales.research" and at.hour >= 15 and int(days_left) % 7 == story.FULL % 7:
            outcome[chance < 0.6] = "refused_budget"
        elif feature.key == "community":
            outcome[chance < 0.01] = "refused_rate"

    def _lines(
        self, feature: DemoFeature, ms: Ints, who: dict[str, Any], targets: tuple[str, str], outcome: NDArray[Any],
        fell_back: NDArray[np.bool_], days_left: float,
    ) -> list[str]:  # fmt: skip
        n, random = len(ms), self.random
        refused = np.char.startswith(outcome, "refused")
        failed, lost = np.isin(outcome, ("provider_error", "timeout")), outcome == "lost"
        warm = feature.cached * min(1.0, max(0.0, (story.WARM - days_left) / 10))
        hit = ~refused & ~failed & ~lost & ~fell_back & (random.random(n) < warm)
        asked, unbilled = ~refused & ~hit, refused | hit | failed
        second = feature.tested and days_left < feature.tested
        version = (who["tenant"] % 2) if second else np.zeros(n, int)
        sizes = random.lognormal(0, 0.55, n) * feature.input_tokens * np.where(version == 1, 0.72, 1.0)
        inputs = np.where(unbilled, 0, np.maximum(sizes, 12)).astype(np.int64)
        cache_read = np.where(random.random(n) < 0.4, inputs * 6 // 10, 0)
        outputs = np.where(unbilled, 0, random.lognormal(0, 0.6, n) * feature.output_tokens + 1).astype(np.int64)
        inputs -= cache_read
        first_ms, token_ms, nano, held, price_ids = self._costs(targets, fell_back, inputs, cache_read, outputs)
        speed = random.lognormal(0, 0.35, n) * (1.0 + 0.8 * fell_back)
        first_token = first_ms * speed
        provider_ms = np.where(
            asked, np.where(outcome == "timeout", 60_000, first_token + outputs * token_ms * speed), 0
        )
        gate = random.lognormal(math.log(4.2), 0.4, n)
        redaction = gate * 0.4 if feature.found else np.zeros(n)
        latency = np.where(lost, 0, provider_ms + gate)
        streamed = random.random(n) < feature.streamed
        attempts = np.where(asked, 1 + fell_back + failed + (random.random(n) < 0.01), 0)
        # What a lost call counts is all that was held for it.
        nano, held = np.where(lost, held, nano), np.where(refused | hit, -1, held)
        salt = random.integers(0, 2**62, (2, n))
        addresses = self.versions[feature.slug]
        entities = random.integers(0, 2 * len(feature.found) + 1, n)
        made = zip(
            ms.tolist(), salt[0].tolist(), salt[1].tolist(), who["tenant"].tolist(), who["user"].tolist(),
            who["http"].tolist(), version.tolist(), fell_back.tolist(), attempts.tolist(), streamed.tolist(), hit.tolist(),
            inputs.tolist(), cache_read.tolist(), outputs.tolist(), price_ids.tolist(), nano.tolist(), held.tolist(),
            latency.tolist(), first_token.tolist(), gate.tolist(), redaction.tolist(), provider_ms.tolist(),
            outcome.tolist(), entities.tolist(),
            strict=True,
        )  # fmt: skip
        (provider, model), (other, other_model) = (target.split("/", 1) for target in targets)
        names, cohorts, users = self._tenants, self._cohort_of, self._users
        labels = f'{{"team": "{feature.team}"}}'
        lines = []
        for (at, salt_a, salt_b, tenant, user, http, v, fell, tries, stream, cached, tokens_in, read, tokens_out, price, spent,
             hold, took, first, gate_ms, redaction_ms, sent, ended, found) in made:  # fmt: skip
            uuid = f"{at:012x}7{salt_a & 0xFFF:03x}{0x8000 | (salt_a >> 12) & 0x3FFF:04x}{salt_b & 0xFFFFFFFFFFFF:012x}"
            error, reason, status = REASONS.get(ended, ("", "", 200))
            good = ended not in REASONS
            lines.append(
                LINE
                % (
                    uuid, feature.slug, names[tenant] if feature.tenants else "", users[user] if feature.tenants else "",
                    cohorts[tenant] if feature.tenants else "staff",
                    f"s-{user:x}-{at // 1_800_000:x}" if feature.tenants else "", feature.key if http else "",
                    "demo", labels, addresses[v], "b" if v else "live", "chat", feature.slug,
                    other if fell else provider, model, other_model if fell else model, tries,
                    targets[0] if fell else "", "t" if stream else "f", "t" if cached else "f",
                    tokens_in, read, 0, 0, tokens_out, 0, 0, "t" if ended == "lost" else "f", "t",
                    "\\N" if cached or price < 0 or not tries else price, f"{spent // 10**9}.{spent % 10**9:09d}",
                    "\\N" if hold < 0 else f"{hold // 10**9}.{hold % 10**9:09d}", "0",
                    f"{took:.3f}", f"{first:.3f}" if stream and good and tries else "\\N", f"{gate_ms:.3f}",
                    f"{redaction_ms:.3f}",
                    f'{{"stages": {{"redact": {redaction_ms:.2f}, "hold": {gate_ms * 0.3:.2f}, "send": {sent:.1f}}}}}',
                    0, ended, error, reason, "\\N" if status is None else status,
                    ("length" if ended == "truncated" else "stop") if good else "",
                    feature.found[found] if found < len(feature.found) else "{}", "default", "", "", "\\N", "f",
                )
            )  # fmt: skip
        return lines

    def _costs(
        self, targets: tuple[str, str], fell_back: NDArray[np.bool_], inputs: Ints, cache_read: Ints, outputs: Ints
    ) -> tuple[Any, ...]:
        """Milliseconds to the first token and for each, nano-dollars that were spent and held, and ids of prices."""
        first, second = (self.prices[target] for target in targets)

        def of(name: str) -> Ints:
            found: Ints = np.where(fell_back, getattr(second, name), getattr(first, name))
            return found

        pico = inputs * of("input") + cache_read * of("cache_read") + outputs * of("output")
        most = (inputs + cache_read) * 2 * of("input") + 1500 * of("output")
        (a_ms, a_token), (b_ms, b_token) = SPEEDS[targets[0]], SPEEDS[targets[1]]
        return (
            np.where(fell_back, b_ms, a_ms), np.where(fell_back, b_token, a_token),
            (pico + 500) // 1000, most // 1000, of("id"),
        )  # fmt: skip


def _busy(at: datetime, start: datetime) -> float:
    """How much is called in that hour: by the time of day, less at weekends, and more every week."""
    grown = 1 + 0.006 * ((at - start) / timedelta(days=1))
    return float(HOURS[at.hour] * (WEEKEND if at.weekday() >= 5 else 1.0) * grown)


def _is_runaway(at: datetime, days_left: float) -> bool:
    return int(days_left) == story.RUNAWAY and 9 <= at.hour < 15


def _index(slug: str) -> int:
    return next(n for n, feature in enumerate(FEATURES) if feature.slug == slug)


def _names(count: int) -> list[str]:
    first = (
        "acme",
        "blue",
        "cedar",
        "delta",
        "ember",
        "fjord",
        "globe",
        "harbor",
        "iris",
        "juno",
        "kite",
        "lumen",
        "maple",
    )
    last = ("labs", "bank", "foods", "energy", "retail", "health", "media", "travel", "works", "school", "motors")
    return [f"{first[n % len(first)]}-{last[n % len(last)]}" for n in range(count)]

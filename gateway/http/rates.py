"""Rate limits as OpenAI's headers tell them."""

from math import ceil

from budgets.rates import Rates
from gateway.errors import RateLimited

Headers = list[tuple[bytes, bytes]]


def rate_headers(rates: Rates | None) -> Headers:
    """What a call's tightest limits hold when full, what is left, and how long until they are full; none without limits.

    Source: https://platform.openai.com/docs/guides/rate-limits, "Rate limits in headers".
    """
    headers: Headers = []
    if rates and (requests := rates.requests):
        headers += [
            (b"x-ratelimit-limit-requests", b"%d" % requests.limit),
            (b"x-ratelimit-remaining-requests", b"%d" % requests.remaining),
            (b"x-ratelimit-reset-requests", duration(requests.reset_s)),
        ]
    if rates and (tokens := rates.tokens):
        headers += [
            (b"x-ratelimit-limit-tokens", b"%d" % tokens.limit),
            (b"x-ratelimit-remaining-tokens", b"%d" % tokens.remaining),
            (b"x-ratelimit-reset-tokens", duration(tokens.reset_s)),
        ]
    return headers


def refusal_headers(error: RateLimited) -> Headers:
    """The same of a refused call, and whether and when to try again; `retry-after` in whole seconds, as HTTP has it."""
    headers = [
        *rate_headers(error.rates),
        (b"x-should-retry", b"false" if error.retry_after_s is None else b"true"),
    ]
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % max(1, ceil(error.retry_after_s))))
        headers.append((b"retry-after-ms", b"%d" % max(1, ceil(error.retry_after_s * 1000))))
    return headers


def duration(seconds: float) -> bytes:
    """A time as OpenAI writes it, which is Go's way: `6m0s`, `1.5s`, `20ms`, `0s`; milliseconds, rounded up."""
    ms = ceil(round(seconds * 1000, 3))
    if ms < 1000:
        return b"%dms" % ms if ms else b"0s"
    minutes, rest_ms = divmod(ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    before = (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "")
    return f"{before}{rest_ms / 1000:g}s".encode()

"""How long a provider that has too much to do asks to be left alone, in every way that vendors write it."""

from datetime import UTC, datetime

import pytest

import gateway
from gateway import errors
from gateway.models import Call
from gateway.providers.wire import LONGEST_S, patience_asked_s
from tests.scripted import ScriptedProvider, reply

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
MESSAGES = [{"role": "user", "content": "hello there"}]


@pytest.mark.parametrize(
    "headers, seconds",
    [
        ({}, None), ({"retry-after": "2"}, 2.0), ({"retry-after": " 0.5 "}, 0.5), ({"retry-after": "0"}, 0.0),
        ({"retry-after-ms": "1500"}, 1.5), ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "2"}, 2.0), ({"retry-after-ms": "-1", "retry-after": "2"}, 2.0),
        ({"retry-after": "Sun, 01 Mar 2026 12:00:07 GMT"}, 7.0), ({"retry-after": "Sunday, 01-Mar-26 12:00:07 GMT"}, 7.0),
        ({"retry-after": "Sun Mar  1 12:00:07 2026"}, 7.0), ({"retry-after": "Sun, 01 Mar 2026 14:00:07 +0200"}, 7.0),
        ({"retry-after": "Sun, 01 Mar 2026 11:59:00 GMT"}, 0.0), ({"retry-after": "Fri, 01 Jan 9999 00:00:00 GMT"}, LONGEST_S),
        ({"retry-after": "1e9"}, LONGEST_S), ({"retry-after": "inf"}, LONGEST_S), ({"retry-after": "nan"}, None),
        ({"retry-after": "-5"}, None), ({"retry-after": "soon"}, None), ({"retry-after": "1" * 400}, LONGEST_S),
        ({"retry-after": "Sun, 99 Mar 2026 12:00:07 GMT"}, None), ({"retry-after": "9" * 30 + " Mar 2026 12:00:07 GMT"}, None),
    ],
)  # fmt: skip
def test_the_wait_is_read_in_seconds_milliseconds_and_as_a_date(headers, seconds):
    assert patience_asked_s(headers, NOW) == seconds


def test_a_wait_longer_than_the_route_s_time_goes_to_the_next_target_at_once(world):
    slow = reply(b'{"error": {"message": "slow down"}}', b"retry-after: 600", status=b"429 Too Many")
    with ScriptedProvider() as busy:
        busy.answer = lambda *_: slow
        other = world.kind("openai", name="busy", base_url=busy.base_url)
        world.feature("f", (other, "m"), "echo", route={"retries": 2})
        world.feature("alone", (other, "m"), route={"retries": 2})
        assert gateway.complete("f", messages=MESSAGES).text == "hello there"
        with pytest.raises(errors.ProviderError, match="slow down") as told:
            gateway.complete("alone", messages=MESSAGES)
    assert (told.value.status, told.value.retry_after_s, len(busy.requests)) == (429, 600.0, 2)
    call = Call.objects.get(feature="f")
    assert (call.fallback_from, call.attempts, call.outcome) == ("busy/m", 2, "ok")

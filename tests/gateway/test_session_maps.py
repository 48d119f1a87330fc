"""Pseudonyms of sessions: the same value has the same one in all calls of a session, and nobody else gets at it."""

import logging
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now

import gateway
from gateway.jobs.sessions import forget_sessions
from gateway.models import Call, Payload
from redaction import sessions
from redaction.models import SessionMap

pytestmark = pytest.mark.django_db(transaction=True)

ADA, BOB = "ada@example.com", "bob@example.com"


@pytest.fixture
def policy(world):
    policy = world.policy("kept", pseudonyms="session")
    world.feature("f", policy=policy)
    world.feature("g", policy=policy)
    return policy


def ask(text, feature="f", **whose):
    """What the caller gets back from a model that says what it was told."""
    whose = {"session": "s1", **whose}
    return gateway.complete(feature, messages=[{"role": "user", "content": text}], **whose).text


def sent(provider):
    return [request["messages"][-1]["content"] for request in provider.requests]


def test_a_value_keeps_its_pseudonym_throughout_its_session(policy, provider):
    assert ask(f"to {ADA}") == f"to {ADA}"
    assert ask(f"from {BOB} to {ADA}") == f"from {BOB} to {ADA}"
    assert ask("what did [email address 2] say?") == "what did [email address 2] say?"
    assert sent(provider)[:2] == ["to [EMAIL_ADDRESS_1]", "from [EMAIL_ADDRESS_2] to [EMAIL_ADDRESS_1]"]


def test_what_a_model_remembers_of_its_session_is_restored(policy, provider):
    ask(f"to {ADA}")
    provider.says = "It was [Email_Address_1]."
    assert ask("whom?") == f"It was {ADA}."
    with gateway.stream("f", messages=[{"role": "user", "content": "whom?"}], session="s1") as stream:
        assert "".join(delta.text for delta in stream) == f"It was {ADA}."


@pytest.mark.parametrize(
    "other", [{"session": "s2"}, {"tenant": "b"}, {"user": "u2"}, {"feature": "g"}, {"session": ""}]
)
def test_no_other_session_tenant_user_or_feature_shares_it(policy, provider, other):
    whose = {"tenant": "a", "user": "u1"}
    ask(f"to {ADA}", **whose)
    provider.says = "It was [EMAIL_ADDRESS_1]."
    assert ask("whom?", **{**whose, **other}) == "It was [EMAIL_ADDRESS_1]."


def test_nothing_of_it_can_be_read(policy, caplog):
    with caplog.at_level(logging.DEBUG):
        ask(f"to {ADA}", session="session-of-ada", user="u1", tenant="t")
    row = SessionMap.objects.get()
    everything = str([*SessionMap.objects.values(), *Payload.objects.values(), bytes(row.key), caplog.text])
    assert ADA not in everything and "session-of-ada" not in everything
    assert row.user_ref == Call.objects.get().user_ref != "u1"


def test_the_key_can_be_rotated_and_without_it_a_session_begins_anew(policy, provider, settings):
    settings.TOLLHOUSE = {**settings.TOLLHOUSE, "ENCRYPTION_KEYS": ("old",)}
    ask(f"to {BOB} and {ADA}")
    settings.TOLLHOUSE = {**settings.TOLLHOUSE, "ENCRYPTION_KEYS": ("new", "old")}
    ask(f"to {ADA} and carol@example.com")
    settings.TOLLHOUSE = {**settings.TOLLHOUSE, "ENCRYPTION_KEYS": ("new",)}
    ask(f"to {ADA}")
    assert sent(provider)[1:] == ["to [EMAIL_ADDRESS_2] and [EMAIL_ADDRESS_3]", "to [EMAIL_ADDRESS_2]"]
    settings.TOLLHOUSE = {**settings.TOLLHOUSE, "ENCRYPTION_KEYS": ("another",)}
    assert ask(f"to {ADA}") == f"to {ADA}"
    assert sent(provider)[-1] == "to [EMAIL_ADDRESS_1]"


def test_calls_of_a_session_at_the_same_time_share_no_placeholder(policy, provider):
    people = [f"person{number}@example.com" for number in range(24)]
    with ThreadPoolExecutor(8) as threads:
        texts = list(threads.map(lambda person: ask(f"{person} {ADA}"), people))
    assert texts == [f"{person} {ADA}" for person in people]
    used = [re.findall(r"\[EMAIL_ADDRESS_\d+\]", text) for text in sent(provider)]
    assert len({first for first, _ in used}) == len(people) and len({second for _, second in used}) == 1


def test_a_session_lives_on_with_its_calls_and_is_gone_after_its_time(policy, provider):
    ask(f"to {ADA}")
    SessionMap.objects.update(expires_at=Now() + timedelta(hours=3))
    ask("nothing new")
    assert SessionMap.objects.filter(expires_at__gt=Now() + timedelta(hours=23)).exists()
    SessionMap.objects.update(expires_at=Now())
    provider.says = "It was [EMAIL_ADDRESS_1]."
    assert ask("whom?") == "It was [EMAIL_ADDRESS_1]."
    assert ask(f"to {BOB}") == f"It was {BOB}."
    assert SessionMap.objects.count() == 1
    SessionMap.objects.update(expires_at=Now())
    forget_sessions()
    assert not SessionMap.objects.exists()


def test_a_users_sessions_can_be_forgotten(policy):
    ask(f"to {ADA}", user="u1", tenant="a")
    ask(f"to {ADA}", user="u2", tenant="a")
    ref = Call.objects.earliest("id").user_ref
    assert sessions.forget_user(ref, tenant="b") == 0
    assert sessions.forget_user(ref) == 1
    assert SessionMap.objects.exclude(user_ref=ref).count() == 1


def test_a_table_that_does_not_answer_leaves_a_call_with_its_own_pseudonyms(policy, world, provider, caplog):
    world.feature("h", policy=world.policy("of-the-call"))
    ask(f"to {ADA}")
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE tollhouse_session_map IN ACCESS EXCLUSIVE MODE")
        assert ask(f"to {BOB}", feature="h") == f"to {BOB}"
        assert "pseudonyms" not in caplog.text
        assert ask(f"to {BOB}") == f"to {BOB}"
    assert sent(provider)[-1] == "to [EMAIL_ADDRESS_1]"
    assert "could not be read or kept" in caplog.text and BOB not in caplog.text
    assert ask(f"to {BOB}") == f"to {BOB}"
    assert sent(provider)[-1] == "to [EMAIL_ADDRESS_2]"

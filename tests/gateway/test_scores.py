"""Scores: what people and machines say of a call afterwards, through Python."""

import asyncio
import threading
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from django.db import IntegrityError, connection, connections, transaction
from django.db.models import Count, Q, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone
from uuid_utils.compat import uuid7

import gateway
from gateway import errors, keys, privacy, testing
from gateway.ledger.database import connection_parameters
from gateway.models import LegalHold, RetentionRule, Score
from gateway.retention import remove
from tests.rows import make_call

pytestmark = pytest.mark.django_db


def said():
    """What counts: by kind, how many sources, and the sum of what they say."""
    first, whole = Count("pk", filter=Q(replaced=None)), Sum("value") - Coalesce(Sum("replaced"), 0.0)
    rows = Score.objects.order_by("kind").values("kind").annotate(first=first, sum=whole)
    return {row["kind"]: (row["first"], row["sum"]) for row in rows}


def test_feedback_edits_and_evals_are_noted_with_what_is_known_of_the_call():
    call = make_call(
        tenant="acme", user_ref="u", cohort="beta", key="site", prompt_version="a" * 64, labels={"team": "x"}
    )
    up = gateway.score(call.id, "feedback", True, user="ann")
    share = gateway.edit_share("Dear Ann, it comes on Monday.", "Dear Ann, it comes on Tuesday.")
    gateway.score(str(call.id), "edit", share)
    gateway.score(call.id, "eval", False, name="tone")
    assert (up.kind, up.value, up.source, up.new) == ("feedback", 1.0, "user", True)
    assert list(Score.objects.values_list("kind", "name", "value", "source", "author")) == [
        ("feedback", "", 1.0, "user", keys.user_ref("ann")), ("edit", "", share, "app", ""), ("eval", "tone", 0.0, "eval", ""),
    ]  # fmt: skip
    row = Score.objects.first()
    assert (row.called_at, row.feature, row.tenant, row.user_ref, row.cohort, row.key, row.prompt_version) == (
        call.started_at, call.feature, "acme", "u", "beta", "site", "a" * 64,
    )  # fmt: skip
    assert (row.provider, row.model, row.outcome, row.labels) == ("openai", "gpt-4o-mini", "ok", {"team": "x"})


def test_a_source_has_one_say_and_the_same_again_changes_nothing():
    call = make_call()
    with gateway.context(user="ann"):
        first = gateway.score(call.id, "feedback", 1)
        again = gateway.score(call.id, "feedback", True)
        assert (again.id, again.new) == (first.id, False)
        gateway.score(call.id, "feedback", -1)
        gateway.score(call.id, "feedback", 0.5)
    gateway.score(call.id, "feedback", -1, user="ben")
    gateway.score(call.id, "eval", True, name="tone", user="ann")
    gateway.score(call.id, "eval", True, name="tone", user="ben")
    assert said() == {"feedback": (2, -0.5), "eval": (1, 1.0)}
    assert list(Score.objects.filter(author=keys.user_ref("ann")).values_list("number", "value", "replaced")) == [
        (1, 1.0, None), (2, -1.0, 1.0), (3, 0.5, -1.0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "kind, value, name, words",
    [
        ("comment", 1, "", "`kind` must be one of feedback, edit, eval"),
        ("feedback", 1.01, "", "from -1 to 1"),
        ("feedback", "great", "", "not 'great'"),
        ("feedback", float("nan"), "", "from -1 to 1"),
        ("feedback", 10**400, "", "from -1 to 1"),
        ("feedback", 1, "tone", "Feedback and edits have none"),
        ("edit", -0.1, "", "from 0 to 1"),
        ("edit", True, "", "from 0 to 1"),
        ("edit", None, "", "not None"),
        ("eval", True, "", "`name` must be that of the eval"),
        ("eval", True, "Is Ann polite?", "`name` must be that of the eval"),
        ("eval", 0.5, "tone", "true or false"),
    ],
)
def test_what_cannot_be_a_score_is_refused_and_says_what_can(kind, value, name, words):
    call = make_call()
    with pytest.raises(errors.InvalidRequest, match=words):
        gateway.score(call.id, kind, value, name=name)
    assert not Score.objects.exists()


def test_there_is_no_call_for_whom_it_is_none_of_theirs():
    call = make_call(tenant="acme")
    for wrong in (uuid7(), uuid4(), "x", None):
        with pytest.raises(errors.NotFound, match="There is no call"):
            gateway.score(wrong, "feedback", 1)
    with gateway.context(tenant="umbrella"), pytest.raises(errors.NotFound, match="that you may score"):
        gateway.score(call.id, "feedback", 1)
    gateway.score(call.id, "feedback", 1, tenant="acme")
    assert Score.objects.count() == 1


def test_a_score_is_noted_within_the_applications_transaction_and_leaves_it_whole():
    call = make_call()
    with pytest.raises(RuntimeError), transaction.atomic():
        gateway.score(call.id, "feedback", 1)
        raise RuntimeError
    assert not Score.objects.exists()
    with transaction.atomic():
        with pytest.raises(errors.NotFound):
            gateway.score(uuid7(), "feedback", 1)
        gateway.score(call.id, "feedback", 1)
    assert Score.objects.count() == 1


def test_rows_are_never_changed():
    gateway.score(make_call().id, "feedback", 1)
    with pytest.raises(TypeError):
        Score.objects.get().save()
    with pytest.raises(IntegrityError, match="never changed"), transaction.atomic():
        Score.objects.update(value=-1)


def test_scores_expire_with_their_call_by_rule_and_stay_under_a_legal_hold():
    old = timezone.now() - timedelta(days=20)
    calls = [make_call(at=old, feature="short", user_ref=user) for user in ("ann", "held", "")]
    for call in calls:
        gateway.score(call.id, "feedback", 1)
    gateway.score(calls[2].id, "feedback", -1, user="held")
    LegalHold.objects.create(user_ref="held", reason="a suit", set_by="x")
    LegalHold.objects.create(user_ref=keys.user_ref("held"), reason="a suit", set_by="x")
    assert Score.objects.count() == 4
    RetentionRule.objects.create(kind="score", feature="short", keep_days=10)
    assert Score.objects.count() == 0
    assert remove.remove()["score"] == {"rows": 2}
    with remove.seeing_expired():
        assert set(Score.objects.values_list("user_ref", "author")) == {("held", ""), ("", keys.user_ref("held"))}
    with pytest.raises(errors.InvalidRequest, match="older than scores are kept"):
        gateway.score(calls[0].id, "edit", 0.5)


def test_an_erasure_takes_what_was_said_of_a_persons_calls_and_what_the_person_said():
    ann = keys.user_ref("ann")
    hers, other = make_call(user_ref=ann), make_call(user_ref="ben")
    gateway.score(hers.id, "eval", True, name="tone")
    gateway.score(other.id, "feedback", 1, user="ann")
    gateway.score(other.id, "feedback", 1, user="ben")
    assert len(privacy.export(ann, actor="dpo")["score"]) == 2
    assert privacy.erase(ann, actor="dpo", reason="r")["score"] == 2
    assert list(Score.objects.values_list("author", flat=True)) == [keys.user_ref("ben")]


@pytest.mark.django_db(transaction=True)
def test_a_source_that_says_many_things_at_once_has_the_last_word_once():
    call, problems = make_call(), []

    def say(value):
        try:
            gateway.score(call.id, "feedback", value)
        except errors.GatewayError as error:
            problems.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=say, args=[number / 10]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    *_, last = Score.objects.order_by("number")
    assert said() == {"feedback": (1, pytest.approx(last.value))} and last.number == 8


@pytest.mark.django_db(transaction=True)
def test_coroutines_score_too():
    call = make_call(tenant="acme")

    async def run():
        with gateway.context(user="ann", tenant="acme"):
            return await gateway.ascore(call.id, "edit", 0.25)

    assert asyncio.run(run()).source == "user"
    assert Score.objects.get().value == 0.25


def test_a_stub_takes_scores_of_its_own_calls_and_writes_none():
    with testing.stub(features=["f"]) as llm:
        llm.reply("Dear Ann")
        reply = gateway.complete("f", messages=[{"role": "user", "content": "x"}], tenant="acme")
        assert gateway.score(reply.call_id, "edit", gateway.edit_share(reply.text, "Dear Ben")).new
        assert not gateway.score(reply.call_id, "edit", 0.5).new
        gateway.score(reply.call_id, "edit", 0)
        with pytest.raises(errors.NotFound):
            gateway.score(uuid7(), "feedback", 1)
        with pytest.raises(errors.NotFound):
            gateway.score(reply.call_id, "feedback", 1, tenant="umbrella")
    assert [(score.kind, score.value) for score in llm.scores] == [("edit", 0.5), ("edit", 0.0)]
    assert not Score.objects.exists()


def test_what_was_changed_of_a_reply_is_a_share_of_its_words():
    share = gateway.edit_share
    assert share("", "") == share("Dear Ann,\nhello!", "Dear  Ann, hello!") == 0
    assert share("a b c d", "w x y z") == share("", "new") == share("old", "") == 1
    assert share("one two three four", "one two 3 four") == 0.25
    assert share("one two three four", "zero one two three four") == pytest.approx(1 / 9)
    words = [f"w{number}" for number in range(6000)]
    swapped = [*words[:10], *words[3000:5990], *words[10:3000], *words[5990:]]
    assert share(" ".join(words), " ".join(swapped)) == 0, "too long for their order to count"
    assert share(" ".join(words), " ".join([*words[:3000], "x", *words[3001:]])) == pytest.approx(1 / 6000)


@pytest.mark.django_db(transaction=True)
def test_a_database_that_does_not_answer_is_told_as_such():
    call = make_call()
    with psycopg.connect(**connection_parameters()) as other:
        other.execute("LOCK TABLE tollhouse_score")
        with pytest.raises(errors.LedgerUnavailable, match="was not noted"), transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL statement_timeout = '100ms'")
            gateway.score(call.id, "feedback", 1)

"""What the Prompts page makes of scores: shares with their intervals, and what is proven of two versions."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.utils import timezone

import gateway
from dashboards import score_sums
from dashboards.pages.compare import difference, proportion, together, verdict
from gateway import keys, privacy
from gateway.models import RetentionRule
from gateway.retention import remove
from tests.rows import make_call
from tests.world import World

pytestmark = pytest.mark.django_db
PAGE = "/admin/dashboards/prompts/"


@pytest.fixture
def versions():
    """Two versions with 40 calls each. Of the second most replies are edited; as many are liked, and pass `tone`."""
    contents = [{"messages": [{"role": "user", "content": text}]} for text in ("one", "two")]
    world = World("http://127.0.0.1:9/v1")
    found = world.prompt(world.feature("support.reply"), *contents)
    at = timezone.now() - timedelta(hours=1)
    for version, edited in zip(found, (4, 36), strict=True):
        for number in range(40):
            call = make_call(
                at=at,
                prompt_version=version.address,
                tenant=f"t{number % 2}",
                labels={"team": "x"} if number < 10 else {},
            )
            # Each says something else first, which does not count any more.
            gateway.score(call.id, "edit", 0.9 if number % 2 else 0)
            gateway.score(call.id, "edit", 0.5 if number < edited else 0)
            gateway.score(call.id, "eval", number % 4 == 0, name="tone")
            if number < 20:
                gateway.score(call.id, "feedback", -1 if number % 2 else 1)
    gateway.score(call.id, "feedback", 0, user="neither")
    make_call(at=at, prompt_version=found[0].address, tenant="unscored")
    return found


def cells(context):
    return [[(cell.label, cell.value, cell.range.rpartition(", ")[2]) for cell in v.cells] for v in context["versions"]]


def test_versions_are_shown_and_compared_by_what_was_said_of_their_calls(admin_client, versions, django_user_model):
    context = admin_client.get(f"{PAGE}?range=24h").context
    rest = [("Liked", "50.0%", "of 20"), ("Passes tone", "25.0%", "of 40")]
    assert cells(context) == [
        [("Edited", "10.0%", "of 40"), ("Text changed", "5.0%", ""), *rest],
        [("Edited", "90.0%", "of 40"), ("Text changed", "45.0%", ""), *rest],
    ]  # fmt: skip
    first, other = context["versions"]
    interval = proportion(4, 40)
    assert first.cells[0].range == f"{100 * interval.low:.1f}% to {100 * interval.high:.1f}%, of 40"
    z = together(4)  # by cost, success, edits and the eval
    found = difference(proportion(4, 40, z), proportion(36, 40, z))
    assert (
        f"its replies are edited more often, by 80.0 points ({100 * found.low:.1f}–{100 * found.high:.1f})"
        in other.said
    )
    assert "liked" not in other.said and "tone" not in other.said, "what is not proven is not said"
    filters_choose_among_scores_as_among_calls(admin_client)
    what_counts_is_when_the_call_was_made(admin_client, versions[0])
    who_may_not_see_scores_is_shown_none(django_user_model)


def filters_choose_among_scores_as_among_calls(admin_client):
    for query, count in (
        ("tenant=t0", 20), ("label=team%3Dx", 10), ("label=(none)", 30), ("user_ref=x", 0), ("tenant=unscored", 0),
        ("key=(none)&provider=openai&model=gpt-4o-mini&outcome=ok&cohort=(none)", 40),
    ):  # fmt: skip
        rows = cells(admin_client.get(f"{PAGE}?range=24h&{query}").context)
        notes = {note for row in rows for label, _, note in row if label == "Edited"}
        assert notes == ({f"of {count}"} if count else set()), query


def what_counts_is_when_the_call_was_made(admin_client, version):
    old = timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=30)
    gateway.score(make_call(at=old, prompt_version=version.address).id, "edit", 1)
    for range, edits in (("24h", "of 40"), ("7d", "of 41")):
        assert cells(admin_client.get(f"{PAGE}?range={range}").context)[0][0][2] == edits


def who_may_not_see_scores_is_shown_none(django_user_model):
    user = django_user_model.objects.create_user("bob", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_promptversion"))
    client = Client()
    client.force_login(user)
    answer = client.get(f"{PAGE}?range=24h")
    assert cells(answer.context) == [[], []] and "Edited" not in answer.content.decode()


def summed():
    """What sums of scores come to, and what the scores do: by feature, quarter of an hour, version, kind and name."""
    found = []
    by = "feature, %s AS quarter, prompt_version, kind, name"
    for table, at, counts in (
        ("tollhouse_score_sum", "at", "sum(sources), sum(above), sum(below), round(sum(total)::numeric, 6)"),
        (
            "tollhouse_score",
            "date_trunc('hour', called_at) + floor(extract(minute FROM called_at) / 15) * interval '15 minutes'",
            "count(DISTINCT (source, author, call_id)), sum(sign(value) * (sign(value) > 0)::int)"
            " - sum((coalesce(replaced, 0) > 0)::int), sum((value < 0)::int) - sum((coalesce(replaced, 0) < 0)::int),"
            " round(sum(value - coalesce(replaced, 0))::numeric, 6)",
        ),
    ):
        with remove.seeing_expired(), connection.cursor() as cursor:
            cursor.execute(f"SELECT {by % at}, {counts} FROM {table} GROUP BY 1, 2, 3, 4, 5")
            found.append({row[:5]: tuple(map(float, row[5:])) for row in cursor.fetchall() if row[5]})
    return found


def sum_rows():
    with remove.seeing_expired(), connection.cursor() as cursor:
        cursor.execute("SELECT count(*), count(*) FILTER (WHERE loose) FROM tollhouse_score_sum")
        return cursor.fetchone()


def test_sums_are_those_of_the_scores_whatever_happens_to_them(admin_client):
    at = timezone.now().replace(minute=20) - timedelta(days=20)
    calls = [make_call(at=at + timedelta(minutes=5 * n), prompt_version=f"{n % 2}", user_ref="u") for n in range(6)]
    for number, call in enumerate(calls):
        gateway.score(call.id, "feedback", -1, user="ann")
        gateway.score(call.id, "feedback", number % 3 - 1, user="ann")
        gateway.score(call.id, "edit", 0.25 * number / 5)
        gateway.score(call.id, "eval", number > 2, name="tone")
    sums, scores = summed()
    assert sums == scores and len(sums) > 8
    before = sum_rows()
    assert before[0] == before[1] == 22, "each score that was said has a row"
    assert score_sums.put_together() == 22 and sum_rows() == (len(sums), 0) and summed() == [scores, scores]
    # One changes its mind, one user is erased, and what has expired is removed.
    gateway.score(calls[0].id, "eval", True, name="tone")
    gateway.score(calls[5].id, "feedback", 1, user="ben")
    assert sum_rows()[1] == 2 and score_sums.put_together() == 4 and sum_rows()[1] == 0
    assert privacy.erase(keys.user_ref("ann"), actor="dpo", reason="r")["score"] == 10
    sums, scores = summed()
    assert sums == scores and {kind for _, _, _, kind, _ in sums} == {"edit", "eval", "feedback"}
    expired_sums_are_hidden_and_removed(admin_client)


def expired_sums_are_hidden_and_removed(client):
    RetentionRule.objects.create(kind="score", feature="support.reply", keep_days=10)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM tollhouse_score_sum")
        assert cursor.fetchone() == (0,), "what has expired is hidden before it is removed"
    assert summed()[0]
    remove.remove()
    assert summed() == [{}, {}] and score_sums.put_together() and sum_rows() == (0, 0)


def test_without_scores_there_are_no_sums():
    gateway.score(make_call().id, "edit", 1)
    assert sum_rows() == (1, 1)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; TRUNCATE tollhouse_score")
    assert sum_rows() == (0, 0)


def test_a_verdict_has_each_difference_that_is_proven():
    better, worse = (
        difference(proportion(20, 100), proportion(80, 100)),
        difference(proportion(80, 100), proportion(20, 100)),
    )
    alike = difference(proportion(50, 100), proportion(51, 100))
    told = verdict("b", None, alike, [("it is liked {} often", better), ("its replies are edited {} often", worse)])
    assert told.startswith("b has too few calls with a cost to compare it; it is liked more often, by 60.0 points (")
    assert "), its replies are edited less often, by 60.0 points (" in told
    assert verdict("b", None, None, [("it is liked {} often", alike)]).endswith("; quality difference not proven.")

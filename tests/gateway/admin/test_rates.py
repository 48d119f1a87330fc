"""The admin of rate limits: how buckets stand now, what cannot be said, and that changes and deletions are audited."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone

from budgets.models import Bucket, RateLimit
from budgets.rates import PARTS
from gateway.models import AuditEntry

pytestmark = pytest.mark.django_db
BUCKETS = {"buckets-TOTAL_FORMS": "0", "buckets-INITIAL_FORMS": "0"}


def page(model, name, *args):
    return reverse(f"admin:tollhouse_budgets_{model._meta.model_name}_{name}", args=args)


@pytest.fixture
def limit():
    made = RateLimit.objects.create(
        tenant="acme", each="user", requests_per_minute=60, tokens_per_minute=1000, concurrent=5
    )
    # Empty half a minute ago, by the database's clock.
    bucket = Bucket.objects.create(rate_limit=made, value="u1", requests_level=0, tokens_level=900 * PARTS, in_flight=2)
    Bucket.objects.filter(pk=bucket.pk).update(refilled_at=Now() - timedelta(seconds=30.5))
    return made


def test_levels_are_those_of_this_moment(admin_client, limit):
    for path in (page(RateLimit, "change", limit.pk), page(Bucket, "changelist")):
        shown = admin_client.get(path).content.decode()
        assert "u1" in shown and "2 of 5" in shown
        # One more each second, and a page may take some of them.
        since = timezone.now() - Bucket.objects.get().refilled_at
        assert any(f"{level} of 60" in shown for level in range(30, int(since.total_seconds()) + 2))
        assert "1,000 of 1,000" in shown
    assert Bucket.objects.get().requests_level == 0, "to look changes nothing"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "Say what is limited"),
        ({"requests_per_minute": "0"}, "greater than or equal to 1"),
        ({"concurrent": "1", "tenant": "a", "user": "b", "cohort": "c"}, "at most 2 of feature"),
        ({"concurrent": "1", "tenant": "a", "each": "tenant"}, "Name one tenant or limit each tenant, not both."),
        ({"concurrent": "1", "burst_s": "0"}, "greater than or equal to 1"),
        ({"tokens_per_minute": str(10**9 + 1)}, "less than or equal to 1000000000"),
    ],
)
def test_what_cannot_be_is_told(admin_client, values, words):
    answer = admin_client.post(page(RateLimit, "add"), {"burst_s": "60", "active": "on", **BUCKETS, **values})
    assert answer.status_code == 200 and words in answer.content.decode()
    assert not RateLimit.objects.exists()


def test_changes_are_audited_with_old_and_new_values(admin_client, limit):
    form = {"tenant": "acme", "each": "user", "requests_per_minute": "90", "tokens_per_minute": "1000", "burst_s": "60"}
    assert admin_client.post(page(RateLimit, "change", limit.pk), {**form, **BUCKETS}).status_code == 302
    entry = AuditEntry.objects.get(action="ratelimit.change")
    assert entry.detail == {
        "changes": {"requests_per_minute": [60, 90], "concurrent": [5, None], "active": [True, False]}
    }
    assert (entry.subject, entry.actor) == ("ratelimit tenant acme, each user", "admin")


def test_a_limit_is_deleted_with_its_buckets(admin_client, limit):
    assert admin_client.post(page(RateLimit, "delete", limit.pk), {"post": "yes"}).status_code == 302
    assert not RateLimit.objects.exists() and not Bucket.objects.exists()
    assert AuditEntry.objects.get(action="ratelimit.delete").actor == "admin"

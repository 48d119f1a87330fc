"""What somebody who is limited to a tenant reads in the dashboards does not change with what other tenants do."""

import re
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone
from uuid_utils.compat import uuid7

from budgets.models import Alert, Budget, Window
from dashboards.filters import DIMENSIONS, iso
from dashboards.models import SavedView
from dashboards.pages.registry import PAGES
from gateway.models import AuditEntry, BreakerTrip, Key, TenantLimit
from tests.rollups import count
from tests.rows import make_call
from tests.world import World

OWN, OTHER = "acme", "umbrella"
NOW = timezone.now()
RANGE = f"range=custom&since={iso(NOW - timedelta(hours=9))}&until={iso(NOW - timedelta(hours=2))}"
ROOT = "/admin/dashboards/"


def rows_of(tenant, version, cost):
    """Calls of each kind that a page tells apart, and what else a page shows of a tenant; its name is in every value."""
    same = {
        "feature": "f", "tenant": tenant, "cohort": f"{tenant}-cohort", "user_ref": f"{tenant}-user", "key": f"{tenant}-key",
        "provider": f"{tenant}-provider", "model_served": f"{tenant}-model", "labels": {"of": tenant}, "entities": {"PERSON": 3},
        "at": NOW - timedelta(hours=4), "cost_usd": Decimal(cost), "streamed": True, "first_token_ms": 90,
        "prompt_version": version.address,
    }  # fmt: skip
    for more in (
        {},
        {"outcome": "timeout"},
        {"outcome": "refused_policy"},
        {"fallback_from": f"{tenant}/x", "latency_ms": 9000},
    ):
        make_call(**same, **more)
    budget = Budget.objects.create(feature="f", tenant=tenant, limit=10)
    span = {"starts_at": NOW - timedelta(hours=9), "ends_at": NOW + timedelta(days=1)}
    Alert.objects.create(
        kind="breaker", severity="warning", dedup_key=tenant, summary=tenant, tenant=tenant,
        detail={"target": f"{OWN}-provider/{OWN}-model"} if tenant == OTHER else {},
    )  # fmt: skip
    BreakerTrip.objects.create(
        id=uuid7(), process=uuid7(), provider=f"{tenant}-provider", model=f"{tenant}-model", opened_at=NOW - timedelta(hours=4),
        retry_at=NOW, failures=5, error_class="ProviderError",
    )  # fmt: skip
    return Window.objects.create(budget=budget, spent=cost, **span)


@pytest.fixture
def world(transactional_db):
    return World("http://127.0.0.1:9/v1")


def addresses(window):
    for page in PAGES.values():
        yield f"{page.url}?{RANGE}"
        for chart in page.charts:
            yield f"{page.url}data/{chart}/?{RANGE}&window={window.pk}"
    for name in DIMENSIONS:
        yield f"{ROOT}spend/?{RANGE}&by={name}"
        yield f"{ROOT}spend/data/over-time/?{RANGE}&by={name}"
    for name in ("spend", "reliability", "privacy"):
        yield f"{ROOT}{name}/?{RANGE}&tenant={OTHER}"
    for page in (PAGES[name] for name in ("spend", "reliability", "prompts", "privacy")):
        for chart in page.charts:
            yield f"{page.url}data/{chart}/?{RANGE}&tenant={OTHER}"


def read(client, window):
    """What each address answers, without what is drawn by lot or by the clock."""
    found = {}
    for address in addresses(window):
        answer = client.get(address)
        assert answer.status_code == 200, (address, answer.status_code)
        text = re.sub(r'(name="csrfmiddlewaretoken" value|nonce)="[^"]*"', "", answer.content.decode())
        found[address] = re.sub(r"\d{4}-\d\d-\d\dT\d\d(:|%3A)\d\d(:|%3A)\d\d(\.\d+)?(Z|%2B00%3A00)?", "time", text)
    return found


def test_no_figure_of_another_tenant_is_on_any_page_or_in_any_chart(world, admin_user):
    (version,) = world.prompt(world.feature("f"), {"messages": [{"role": "user", "content": "x"}]})
    user = User.objects.create_user("limited", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    TenantLimit.objects.create(user=user, tenants=[OWN])
    client = Client()
    client.force_login(user)
    window = rows_of(OWN, version, "1.11")
    alone = read(client, window)
    assert f"{OWN}-provider" in alone[f"{ROOT}reliability/?{RANGE}"] and "4.44" in alone[f"{ROOT}spend/?{RANGE}"]
    other = rows_of(OTHER, version, "7.77")
    AuditEntry.objects.create(actor=OTHER, action="payload.read", subject="payload")
    SavedView.objects.create(owner=admin_user, page="spend", name=f"Of {OTHER}", query=f"tenant={OTHER}", shared=True)
    world.key(name=f"{OTHER}-key", tenant=OTHER)
    for _ in range(2):
        beside = read(client, window)
        assert [address for address in alone if alone[address] != beside[address]] == []
        # The first page tells times to the minute, and cannot be compared as it is.
        overview = client.get(f"/admin/?{RANGE}").content.decode()
        assert "$4.44" in overview and not [word for word in (OTHER, "$31.08", "$35.52") if word in overview]
        assert client.get(f"{ROOT}budgets/data/window/?window={other.pk}").status_code == 404
        # Once from the calls, once from the rollups.
        count()
    for address, text in alone.items():
        if address.endswith(f"tenant={OTHER}") and "/data/" in address:
            assert '"series": []' in text, address
    suggested = "/admin/tollhouse_gateway/call/suggest/?field=key&start="
    assert client.get(f"{suggested}{OTHER}").json() == {"values": []}
    Key.objects.update(tenant=OWN)
    assert client.get(f"{suggested}{OTHER}").json() == {"values": [f"{OTHER}-key"]}

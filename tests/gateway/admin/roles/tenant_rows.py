"""A row of every kind that has a page; those that name a tenant twice: of `acme` and of `umbrella`."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django.contrib.auth.models import Group, User
from django.db.models import Model
from django.utils import timezone

from budgets.models import (
    Alert,
    AlertRoute,
    Bucket,
    Budget,
    BudgetRaise,
    Channel,
    Delivery,
    Rate,
    RateLimit,
    Switch,
    SwitchTrigger,
    Window,
)  # fmt: skip
from dashboards.models import Digest, RollupState
from gateway.models import (
    Adjustment,
    AuditEntry,
    Bill,
    BillLine,
    CallSum,
    Dataset,
    DatasetItem,
    Export,
    Feature,
    Hold,
    Key,
    LegalHold,
    Owner,
    PromptVersion,
    RetentionKind,
    RetentionRule,
    TenantLimit,
    Worker,
)  # fmt: skip
from redaction.models import RedactionList
from tests.rows import make_call
from tests.world import World

OWN, OTHER = "acme", "umbrella"


def shared_rows(world: World) -> list[Model]:
    """Rows that are nobody's, or of everybody."""
    feature = world.feature("f", rollout_tenants=[OTHER])
    (version,) = world.prompt(feature, {"messages": [{"role": "user", "content": "x"}]})
    bill = Bill.objects.create(
        provider="mock", files="f", fingerprint="f" * 64, since=date(2026, 1, 1), until=date(2026, 1, 2),
        ledger_usd=1, tolerance_percent=1, matches=True, made_by="x",
    )  # fmt: skip
    trigger = SwitchTrigger.objects.create(name="t", value="f", condition="error_percent", above=5)
    route = AlertRoute.objects.create(name="a", tenants=[OTHER])
    return [
        feature, feature.route, feature.policy, world.provider, version, version.prompt.deployment, bill, trigger, route,
        Feature.objects.get().route.targets.get().provider,
        BillLine.objects.create(bill=bill, day=date(2026, 1, 1), ledger_usd=1, ledger_tokens=1, calls=1, differs=False),
        Channel.objects.create(name="c", kind="webhook"),
        Dataset.objects.create(name="d"),
        Digest.objects.create(name="d", emails=[f"ada@{OTHER}.example"]),
        RollupState.objects.create(watermark=1, cluster="x", time_zone="UTC", hours_since=timezone.now()),
        Rate.objects.create(currency="EUR", per_usd=Decimal("0.9"), effective_from=date(2026, 1, 1), source="x"),
        RetentionKind.objects.first() or RetentionKind.objects.create(kind="call", keep_days=400),
        RetentionRule.objects.create(kind="call", feature="f", keep_days=30),
        *Worker.objects.bulk_create([Worker(id=uuid4(), host="h", pid=1)]),
        *Owner.objects.bulk_create([Owner(id=uuid4(), host="h", pid=1)]),
    ]  # fmt: skip


def rows_of(world: World, tenant: str, usd: str) -> dict[str, Model]:
    """Rows of one tenant, by the name of their model. The tenant's name is in each, where a page shows it."""
    now = timezone.now()
    span = {"starts_at": now - timedelta(hours=1), "ends_at": now + timedelta(days=1)}
    call = make_call(
        feature="f", tenant=tenant, cost_usd=Decimal(usd), session_id=f"s-{tenant}", key=f"key-{tenant}",
        payload={"messages": [{"role": "user", "content": f"said by {tenant}"}], "reply": []},
    )  # fmt: skip
    budget = Budget.objects.create(feature="f", tenant=tenant, metric="usd", period="day", limit=10)
    each, _ = Budget.objects.get_or_create(each=["tenant"], metric="usd", period="day", limit=20)
    pair, _ = Budget.objects.get_or_create(each=["feature", "tenant"], metric="usd", period="day", limit=30)
    Window.objects.create(budget=each, value=tenant, spent=1, **span)
    Window.objects.create(budget=pair, value=f'["f","{tenant}"]', spent=1, **span)
    limit = RateLimit.objects.create(tenant=tenant, requests_per_minute=5)
    channel = Channel.objects.get()
    alert = Alert.objects.create(
        kind="x", severity="info", dedup_key=tenant, summary=f"of {tenant}", tenant=tenant, feature="f"
    )
    world.key(name=f"key-{tenant}", tenant=tenant)
    made: dict[str, Any] = {
        "call": call, "budget": budget, "ratelimit": limit, "alert": alert, "key": Key.objects.get(tenant=tenant),
        "window": Window.objects.create(budget=budget, spent=1, **span),
        "bucket": Bucket.objects.create(rate_limit=limit, value=f"b-{tenant}"),
        "budgetraise": BudgetRaise.objects.create(
            budget=budget, amount=1, reason=f"for {tenant}", expires_at=span["ends_at"], by="x"
        ),
        "switch": Switch.objects.create(scope="feature", value="f", tenant=tenant, reason=f"for {tenant}"),
        "redactionlist": RedactionList.objects.create(tenant=tenant, deny=[f"secret of {tenant}"]),
        "callsum": CallSum.objects.bulk_create(
            [CallSum(day=date(2025, 1, 1), feature="f", tenant=tenant, provider="mock", model_served="m", outcome="ok", calls=1,
                     tokens=1, cost_usd=1)]
        )[0],
        "datasetitem": DatasetItem.objects.create(
            dataset=Dataset.objects.get(), call_id=call.pk, feature="f", tenant=tenant, user_ref=f"user of {tenant}",
            messages=[{"role": "user", "content": f"said by {tenant}"}],
        ),
        "delivery": Delivery.objects.bulk_create([Delivery(alert=alert, channel=channel, event="trigger", answer=tenant)])[0],
        "export": Export.objects.create(
            asked_by=User.objects.get_or_create(username=f"staff of {tenant}")[0], tenants=[tenant], format="csv",
            query=f"tenant:{tenant}", since=now, until=now, columns=["id"],
        ),
        "hold": Hold.objects.bulk_create([
            Hold(call_id=uuid4(), owner=uuid4(), expires_at=now, windows=[], amounts=[],
                 draft={"tenant": tenant, "feature": f"f-{tenant}"})
        ])[0],
    }  # fmt: skip
    return made


def closed_rows(call: Model) -> list[Model]:
    """Rows that tell of tenants without being theirs alone."""
    return [
        LegalHold.objects.create(tenant=OTHER, reason=OTHER, set_by="x"),
        AuditEntry.objects.create(actor="x", action="x", subject=OTHER),
        *Adjustment.objects.bulk_create([Adjustment(call_id=call.pk, cost_usd=1, reason=OTHER, actor="x")]),
        TenantLimit.objects.create(group=Group.objects.create(name=f"staff of {OTHER}"), tenants=[OTHER]),
        PromptVersion.objects.create(
            prompt=PromptVersion.objects.get().prompt, address="0" * 64, content={"messages": []}, origin="observed"
        ),
    ]

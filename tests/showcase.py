"""A product in use: the demo's traffic, and beside it rows of every kind that has a page. What pages are looked at with, in
tests and in screenshots; the same each time, up to ids and the time that it ends at."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid5

from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.db.models import F
from django.utils import timezone
from uuid_utils.compat import UUID

from budgets.models import (
    Alert,
    AlertRoute,
    Bucket,
    Budget,
    BudgetRaise,
    Channel,
    Delivery,
    Forecast,
    Rate,
    RateLimit,
    SwitchTrigger,
    Window,
    WindowSample,
)  # fmt: skip
from budgets.rates import PARTS
from dashboards.models import SavedView
from gateway import keys, worker_beat
from gateway.models import (
    Adjustment,
    AuditEntry,
    Bill,
    BillLine,
    Call,
    Dataset,
    DatasetItem,
    Hold,
    LegalHold,
    Owner,
    Price,
    PromptVersion,
    RetentionRule,
    TenantLimit,
)  # fmt: skip
from gateway.prompts.deploy import move
from redaction.models import RedactionList, RedactionPolicy
from tests.rows import make_call

FEATURE, TENANT, USER, SESSION = "support.reply", "acme-labs-0", "9f2c41d07be35a68", "chat-4711"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SYSTEM = "You work on support.reply. Be brief, exact and friendly."
#: What a customer and the assistant said in a session, as the ledger keeps it.
TURNS = (
    ("Hello, I am [PERSON_1]. My order 4711 has not arrived yet. Where is it?",
     "Hello [PERSON_1], your order left our warehouse on Tuesday and arrives tomorrow before noon."),
    ("Can it be left with my neighbour? You can reach me at [EMAIL_ADDRESS_1].",
     "Of course. I have noted that the parcel may be left with a neighbour; the driver sees it on the label."),
    ("Thank you! And the invoice, please.", "I have sent the invoice to [EMAIL_ADDRESS_1]. Is there anything else?"),
)  # fmt: skip


def furnish(*, days: int, calls: int) -> None:
    """The demo of so many days and calls, and everything else."""
    call_command("demo_data", days=days, calls=calls)
    now = timezone.now().replace(minute=0, second=0, microsecond=0)
    first, second = PromptVersion.objects.filter(prompt__feature__slug=FEATURE).order_by("id")
    said = _session(now, second.address)
    _agent(now)
    _call(now - 3 * HOUR, prompt_version=first.address, said=TURNS[:1], latency_ms=1180.0)
    _failures(now)
    _alerts(now)
    _windows()
    _limits(now)
    move(first.prompt, {first: 60, second: 40}, actor="ada", reason="A friendlier tone, for those who wait longest")
    _privacy(now, said)
    _ledger(now, said)
    worker_beat.beat()
    for name, features, options in (
        ("website", ["docs.*", "search.*"], {}), ("helpdesk", ["support.*"], {"default_feature": FEATURE}),
        ("acme", ["support.*"], {"tenant": TENANT}),
    ):  # fmt: skip
        keys.create(name, features, **options)


def _call(at: datetime, *, said: tuple[tuple[str, str], ...], **values: Any) -> Call:
    """A call of the feature whose last turn is a question and its reply, after those before it."""
    messages = [{"role": "system", "content": SYSTEM}]
    for question, reply in said:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": reply}]
    return make_call(
        at=at, payload={"messages": messages[:-1], "reply": messages[-1:]},
        **{"feature": FEATURE, "tenant": TENANT, "user_ref": USER, "route": FEATURE, "source": "demo", "entities": {"PERSON": 1},
           "labels": {"team": "support"}, "price_id": _price(values.get("model_served", "gpt-4o-mini")).id, "key": "helpdesk", "cohort": "general", "model_asked": FEATURE, **values},
    )  # fmt: skip


def _price(model: str) -> Price:
    return Price.objects.filter(model=model, provider__in=("openai", "anthropic")).earliest("id")


def _session(now: datetime, version: str) -> list[Call]:
    """A conversation of three turns; the last of them fell back to another provider."""
    slow = {
        "streamed": True, "first_token_ms": 640.0, "latency_ms": 3120.0, "attempts": 2, "fallback_from": "openai/gpt-4o-mini",
        "provider": "anthropic", "model_served": "claude-haiku-4-5", "cost_usd": Decimal("0.002400"),
        "trace": {"stages": {"identify": 0.02, "render": 0.1, "redact": 1.9, "price": 0.05, "hold": 1.1, "send": 3116.0},
                  "attempts": [{"target": "openai/gpt-4o-mini", "outcome": "timeout", "ms": 1900.0, "status": 504}]},
    }  # fmt: skip
    at = now - HOUR
    return [
        _call(
            at + timedelta(seconds=45 * n), said=TURNS[: n + 1], session_id=SESSION, prompt_version=version, variant="b",
            **(slow if n == 2 else {"streamed": True, "first_token_ms": 402.0 + 20 * n}),
        )
        for n in range(len(TURNS))
    ]  # fmt: skip


def _agent(now: datetime) -> None:
    """An agent's run: a plan, and the calls that it made on the way."""
    trace, at = "4bf92f3577b34da6a3ce929d0e0e4736", now - 2 * HOUR
    common = {"trace_id": trace, "source": "demo", "key": "nightly", "policy": "default", "cohort": "staff"}
    plan = make_call(
        at=at, feature="agents.nightly", model_served="gpt-4.1", latency_ms=9400.0, cost_usd=Decimal("0.0412"), tool_calls=3,
        **common,
    )  # fmt: skip
    for n, (feature, ms, outcome) in enumerate(
        (("search.rewrite", 610.0, "ok"), ("docs.answer", 2900.0, "ok"), ("support.triage", 1400.0, "provider_error"))
    ):
        make_call(
            at=at + timedelta(milliseconds=900 + 2200 * n), feature=feature, latency_ms=ms, outcome=outcome, parent=plan.id,
            **common,
        )  # fmt: skip


def _failures(now: datetime) -> None:
    """Calls that a person looks into."""
    make_call(at=now - HOUR / 2, source="demo", tenant=TENANT, outcome="refused_budget", cost_usd=Decimal(0), trace={}, attempts=0,
              http_status=429, reason="This call may need $0.012, but the budget of the day has $0.004 left.")  # fmt: skip
    make_call(at=now - HOUR / 3, source="demo", tenant=TENANT, outcome="timeout", http_status=504, error_class="ProviderTimeout",
              latency_ms=60_000.0, reason="No answer within 60 s.")  # fmt: skip


def _windows() -> None:
    """How the demo's open windows came to what they have spent, and what is expected of them."""
    now = timezone.now()
    for window in Window.objects.filter(starts_at__lte=now, ends_at__gt=now).select_related("budget"):
        past = now - window.starts_at
        WindowSample.objects.bulk_create(
            WindowSample(window=window, at=window.starts_at + past * n / 12, spent=window.spent * n * (n + 4) / 192)
            for n in range(1, 12)
        )
        expected = window.spent * Decimal((window.ends_at - window.starts_at) / past)
        late = expected > window.limit > window.spent
        Forecast.objects.create(
            window=window, made_at=now, expected=expected, low=expected * Decimal("0.9"), high=expected * Decimal("1.2"),
            runs_out_at=now + (window.ends_at - now) * float((window.limit - window.spent) / (expected - window.spent))
            if late else None, note="From the pace of the same hours of the weeks before.",
        )  # fmt: skip
    # Nobody sees a demo in which nothing is in flight.
    Window.objects.filter(starts_at__lte=now, ends_at__gt=now, budget__feature="").update(held=F("spent") / 40)


def _alerts(now: datetime) -> None:
    """An alert of a budget, told to two channels, one of which is failing; a route and a rule that switches off."""
    email = Channel.objects.create(name="finance", kind="email", config={"to": ["finance@example.com"]}, last_ok_at=now)
    slack = Channel.objects.create(
        name="on-call", kind="slack", failing_since=now - HOUR, failures=3, fallback=email,
        last_error="It answered 503: service unavailable.",
    )  # fmt: skip
    route = AlertRoute.objects.create(name="everything", severity="info")
    route.channels.set([email, slack])
    budget = Budget.objects.create(feature="mail.summary", period="day", limit=2)
    window = Window.objects.create(
        budget=budget, starts_at=now - 3 * HOUR, ends_at=now + 9 * HOUR, spent=Decimal("1.720412")
    )
    alert = Alert.objects.create(
        kind="budget_threshold", severity="warning", dedup_key=f"budget:{window.pk}:80", feature="mail.summary",
        summary="80% of the day's budget of mail.summary is spent: $1.72 of $2.00.",
        detail={
            "budget": window.budget_id, "window": window.pk, "value": "", "percent": 80, "spent": f"{window.spent:f}",
            "held": "0.0124", "limit": f"{budget.limit:f}", "metric": "usd", "on_hard": "block", "starts_at": window.starts_at.isoformat(),
            "ends_at": window.ends_at.isoformat(),
        },
        created_at=now - HOUR, ends_at=window.ends_at, routed_at=now, end_routed_at=now,
    )  # fmt: skip
    Delivery.objects.bulk_create([
        Delivery(alert=alert, channel=email, event="trigger", state="sent", attempts=1, sent_at=now - HOUR, answer="accepted"),
        Delivery(alert=alert, channel=slack, event="trigger", state="failed", attempts=5, status=503, answer="service unavailable"),
    ])  # fmt: skip
    SwitchTrigger.objects.create(name="support-errors", value="support.*", condition="error_percent", above=25)


def _limits(now: datetime) -> None:
    budget = Budget.objects.get(feature="sales.research")
    BudgetRaise.objects.create(
        budget=budget, amount=5, reason="The fair in Milan, agreed with finance.", expires_at=now + DAY, by="ada"
    )
    limit = RateLimit.objects.create(feature=FEATURE, each="tenant", requests_per_minute=60, concurrent=5)
    Bucket.objects.create(rate_limit=limit, value=TENANT, requests_level=30 * PARTS, in_flight=2)
    Rate.objects.create(currency="EUR", per_usd=Decimal("0.92"), effective_from=(now - 90 * DAY).date(), source="ECB")
    SavedView.objects.create(
        page="spend",
        name="Support by tenant",
        query="range=7d&feature=support.reply&by=tenant",
        owner=_admin(),
        shared=True,
    )


def _privacy(now: datetime, said: list[Call]) -> None:
    policy = RedactionPolicy.objects.get(name="default")
    RedactionList.objects.create(
        policy=policy, allow=["Acme Ltd"], deny=["Project Falcon"], patterns={"EMPLOYEE": r"\bE\d{6}\b"}
    )
    for actor, reads in (("ada", 3), ("grace", 1)):
        for call in said[:reads]:
            AuditEntry.objects.create(actor=actor, action="payload.read", subject=f"payload {call.id}")
    RetentionRule.objects.create(kind="payload", feature="hr.screening", keep_days=14)
    LegalHold.objects.create(tenant="blue-bank-1", reason="Matter 2026-17, asked for by legal.", set_by="ada")
    staff, _ = Group.objects.get_or_create(name="Staff of acme")
    TenantLimit.objects.create(group=staff, tenants=[TENANT])


def _ledger(now: datetime, said: list[Call]) -> None:
    """A hold in flight, a correction, a bill that was compared, and a dataset."""
    owner = UUID(int=said[0].id.int ^ 1)
    Owner.objects.bulk_create([Owner(id=owner, host="web-1", pid=4711)])
    Hold.objects.bulk_create([
        Hold(call_id=uuid5(said[0].id, "held"), owner=owner, expires_at=now + HOUR, windows=[1], amounts=[Decimal("0.0124")],
             draft={"feature": FEATURE, "tenant": TENANT})
    ])  # fmt: skip
    Adjustment.objects.bulk_create([
        Adjustment(call_id=said[0].id, cost_usd=Decimal("-0.000120"), reason="The vendor's batch price counts.", actor="ada")
    ])  # fmt: skip
    month = (now - 30 * DAY).date()
    bill = Bill.objects.create(
        provider="openai", files="openai-costs.csv (costs)", fingerprint="5" * 64, since=month, until=now.date(),
        billed_usd=Decimal("412.80"), ledger_usd=Decimal("411.95"), tolerance_percent=1, matches=False, made_by="ada",
    )  # fmt: skip
    BillLine.objects.create(
        bill=bill, day=month, provider="openai", model="gpt-4.1", billed_usd=Decimal("3.10"), ledger_usd=Decimal("2.25"),
        ledger_tokens=412_000, calls=61, differs=True, causes=["Calls that did not pass the gate: 12 more are billed than it saw."],
    )  # fmt: skip
    dataset = Dataset.objects.create(name="support-replies", description="Good and bad replies of the helpdesk.")
    for call, (question, reply) in zip(said, TURNS, strict=True):
        DatasetItem.objects.create(
            dataset=dataset, call_id=call.id, feature=FEATURE, prompt_version=call.prompt_version, tenant=TENANT, user_ref=USER,
            messages=[{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}],
            reply=[{"role": "assistant", "content": reply}], expected="Says when the order arrives.", created_by="ada",
        )  # fmt: skip


def _admin() -> User:
    return User.objects.filter(is_superuser=True).order_by("pk")[0]

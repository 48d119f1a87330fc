"""Brings the demo into the database, and out of it again. Its calls have the source `demo`."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from budgets.models import Budget
from dashboards.demo import incidents, scores, story
from dashboards.demo.incidents import ACTOR
from dashboards.demo.traffic import COLUMNS, Price, Traffic
from dashboards.models import RollupState
from dashboards.rollups.build import build, prepare, rebuild
from gateway.configuration.apply import apply
from gateway.configuration.document import Document
from gateway.ledger.partitions import EXISTING, SPANS, missing
from gateway.models import Adjustment, AuditEntry, Call, Deployment, PromptVersion, Variant
from gateway.models.calls import uuid7_time
from gateway.prices.book import PriceBook
from gateway.prices.seed import sync
from gateway.prompts.address import address

SOURCE = "demo"
SUMMARIZE = """
SELECT brin_summarize_new_values(inhrelid::regclass) FROM pg_inherits WHERE inhparent = 'tollhouse_call_written'::regclass
"""
PARTS = ("input", "cache_read", "output")
#: Progress: what is being done, and how far it is, 0 to 1.
Tell = Callable[[str, float], object]


class NotNow(Exception):
    """The database is not one to put a demo into; the message says why, and what to do."""


def load(*, days: int, calls: int, seed: int, force: bool, tell: Tell) -> int:
    """Makes the demo: so many calls in the days that end with the last full hour. Returns how many; raises NotNow."""
    _refuse(force)
    until = timezone.now().replace(minute=0, second=0, microsecond=0)
    prices = _prices()
    there = set(Budget.objects.values_list("pk", flat=True))
    document = Document("demo", story.catalog(_expected_usd(prices, calls), days))
    apply(document, actor=ACTOR, dry_run=False, show=lambda changes: None)
    traffic = Traffic(until, days, calls, seed, prices, _versions())
    _partitions(until - timedelta(days=days), until)
    done = _copy(traffic, tell)
    _adjust()
    scores.make(traffic.versions, done)
    _analyze()
    prepare()
    total = timedelta(days=days)
    build(lambda day: tell("Rollups", 1 - max(until - day, timedelta()) / total))
    budgets = Budget.objects.exclude(pk__in=there)
    incidents.make(budgets, until)
    detail = {"calls": done, "days": days, "seed": seed, "budgets": [budget.pk for budget in budgets]}
    AuditEntry.objects.create(actor=ACTOR, action="demo.load", subject="demo", detail=detail)
    return done


def remove(tell: Tell) -> int:
    """Takes the demo's calls, budgets, windows, alerts and switches out. Features, providers and prompts stay: versions are never
    deleted. Returns how many calls there were."""
    demo = Call.objects.filter(source=SOURCE)
    oldest = demo.order_by("id").values_list("id", flat=True).first()
    if oldest is None:
        return 0
    tell("Removing", 0.0)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM tollhouse_adjustment WHERE actor = %s", [ACTOR])
        scores.remove()
        if _has_real():
            cursor.execute("DELETE FROM tollhouse_call WHERE source = %s", [SOURCE])
            count: int = cursor.rowcount
        else:
            count = demo.count()
            cursor.execute("TRUNCATE tollhouse_call")
            RollupState.objects.all().delete()
        details = AuditEntry.objects.filter(action="demo.load").values_list("detail", flat=True)
        incidents.remove([pk for detail in details for pk in detail["budgets"]])
        AuditEntry.objects.create(actor=ACTOR, action="demo.remove", subject="demo", detail={"calls": count})
    tell("Rollups", 0.0)
    prepare()
    if not build().days:
        rebuild(uuid7_time(oldest), force=True)
    return count


def _refuse(force: bool) -> None:
    if Call.objects.filter(source=SOURCE).exists():
        raise NotNow("The demo is there already. Take it out first, with --remove.")
    if not force and _has_real():
        raise NotNow(
            "There are real calls in this database, and the demo's would count among them. Take another one, or add --force."
        )


def _has_real() -> bool:
    return Call.objects.exclude(source=SOURCE).exists()


def _prices() -> dict[str, Price]:
    sync()
    book, now, found = PriceBook.load(), timezone.now(), {}
    for target in {target for feature in story.FEATURES for target in feature.targets}:
        provider, model = target.split("/", 1)
        quote = book.find(provider, model, now)
        if quote is None:
            raise NotNow(f"The price book has no price for {target}.")
        usd = quote.rates.level(0).usd_per_token
        found[target] = Price(id=quote.id, **{part: int(usd[part] * 10**12) for part in PARTS})
    return found


def _expected_usd(prices: dict[str, Price], calls: int) -> float:
    def cost(feature: story.DemoFeature) -> float:
        price = prices[feature.targets[0]]
        return (feature.input_tokens * price.input + feature.output_tokens * price.output) / 1e12

    return calls * sum(feature.share * cost(feature) for feature in story.FEATURES)


def _versions() -> dict[str, tuple[str, ...]]:
    """Addresses of each feature's live versions; a tested one gets a second version."""
    found = {}
    for feature in story.FEATURES:
        deployment = Deployment.objects.get(prompt__feature__slug=feature.slug)
        live = deployment.variants.select_related("version").order_by("id").first()
        assert live is not None, "the catalog made it"
        addresses = [live.version.address]
        if feature.tested:
            content = {**live.version.content}
            system = {"role": "system", "content": f"You work on {feature.slug}. Be brief, exact and friendly."}
            content["messages"] = [system, *content["messages"][1:]]
            version, _ = PromptVersion.objects.get_or_create(
                prompt=deployment.prompt, address=address(content), defaults={"content": content, "origin": "catalog"}
            )
            Variant.objects.get_or_create(deployment=deployment, version=version, defaults={"name": "b"})
            addresses.append(version.address)
        found[feature.slug] = tuple(addresses)
    return found


def _partitions(since: datetime, until: datetime) -> None:
    days = (until - since).days + 2
    with connection.cursor() as cursor:
        cursor.execute(EXISTING, [list(SPANS)])
        existing = {name for (name,) in cursor.fetchall()}
        for statement in missing((since + timedelta(days=n) for n in range(days)), existing):
            cursor.execute(statement.as_string(cursor.connection))


def _copy(traffic: Traffic, tell: Tell) -> int:
    """One COPY for each day, so that a run that is stopped leaves whole days."""
    done, hours, columns = 0, traffic.hours(), ", ".join(COLUMNS)

    def a_day() -> list[list[str]]:
        return [lines for _, lines in islice(hours, 24)]

    # A day's calls are made while the database writes those of the one before.
    with ThreadPoolExecutor(1) as ahead:
        made = ahead.submit(a_day)
        for day in range(traffic.days):
            lines_by_hour, made = made.result(), ahead.submit(a_day)
            with transaction.atomic(), connection.cursor() as cursor:
                wrapped: Any = cursor
                # COPY does not write into a table with policies for its rows.
                cursor.execute("CREATE TEMP TABLE demo_day ON COMMIT DROP AS SELECT * FROM tollhouse_call LIMIT 0")
                with wrapped.copy(f"COPY demo_day ({columns}) FROM STDIN") as copy:
                    for lines in lines_by_hour:
                        copy.write("".join(lines))
                        done += len(lines)
                cursor.execute(f"INSERT INTO tollhouse_call ({columns}) SELECT {columns} FROM demo_day")  # noqa: S608 (our names)
            tell(f"{done:,} calls", (day + 1) / traffic.days)
    return done


def _adjust() -> None:
    """Every third lost call was settled late after all, for less than was held."""
    lost = Call.objects.filter(source=SOURCE, outcome="lost").order_by("id")
    Adjustment.objects.bulk_create(
        Adjustment(
            call_id=call.id, cost_usd=-(call.cost_usd or Decimal(0)) / 2, outcome="ok", actor=ACTOR,
            reason="Its process was only slow, and told later how the call ended.",
        )
        for call in list(lost)[::3]
    )  # fmt: skip


def _analyze() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE tollhouse_call")
        # What autovacuum would do some time later: until then, looking for new rows means to read the newest partition.
        cursor.execute(SUMMARIZE)

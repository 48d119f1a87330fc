"""How long dashboards and the list of calls take to answer, over many rows.

    python -m tests.load.pages [--rows 10000000] [--days 90] [--rounds 3] [--only spend calls …] [--over 150]

Fills the database of the settings with the demo's calls where it has none yet (`manage.py demo_data`), then asks for every page of
the dashboards, the data of every chart and pages of the list of calls, one at a time, through Django's test client: session,
permissions, queries and template, everything but the network. Each page was asked once before, to learn where its charts are. Prints a
Markdown table by page, of medians and 95th percentiles over variants and rounds, and the variants whose median took longer than
`--over`. CPU times of this process, without the database's, stand beside: other people's work on the machine does not count in them.
"""

import argparse
import html
import os
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import timedelta
from urllib.parse import urlencode
from uuid import uuid4

import django
import numpy as np

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "deploy.settings")

RANGES = ("24h", "7d", "30d", "90d")
FEATURE = "/admin/tollhouse_gateway/feature/{slug}/spend/"
CALLS = "/admin/tollhouse_gateway/call/"
#: Of a chart whose data would be too much to read; pages say so in words.
TOO_MUCH = 422
#: What is typed into the box of the list of calls; {…} are values that are there.
QUERIES = (
    "", "feature:{feature}", "feature:support.*", "tenant:{tenant}", "session:{session}", "user:{user}", "outcome:timeout",
    "outcome:lost", "-outcome:ok", "error:ProviderTimeout", "cost>0.05", "cost>1000", "latency>30s", "model:gpt-*",
    "model:gpt-* label:team=editor", "label:team=search", "label:team=nobody", "key:nightly -outcome:ok",
    "-outcome:ok provider:openai cost>0.001", "tenant:nobody", "user:nobody", "503", '"no such words"',
    "prompt:{version} outcome:timeout", "entity:PERSON cost>0.01", "cached:yes", "input>20k", "id:{id}",
)  # fmt: skip


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--rows", type=int, default=10_000_000)
    asked.add_argument("--days", type=int, default=90)
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--only", nargs="*", default=[], help="Names of pages, such as spend, feature or calls.")
    asked.add_argument("--over", type=float, default=150.0, help="Milliseconds.")
    given = asked.parse_args()
    django.setup()
    fill(given.rows, given.days)
    from django.conf import settings
    from django.contrib.auth import get_user_model
    from django.test import Client

    settings.ALLOWED_HOSTS = ["testserver"]
    user = get_user_model().objects.create(username=f"load-{uuid4()}", is_staff=True, is_superuser=True)
    try:
        client = Client()
        client.force_login(user)
        measure(client, list(addresses(client, given.only)), given.rounds, given.over)
    finally:
        user.delete()


def measure(client: "django.test.Client", wanted: Sequence[tuple[str, str]], rounds: int, over: float) -> None:
    """Asks for each page so many times, in turn, and prints how long they took."""
    took: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    cpu: dict[str, list[float]] = defaultdict(list)
    refused: Counter[str] = Counter()
    for _ in range(rounds):
        for page, address in wanted:
            began, began_cpu = time.perf_counter(), time.process_time()
            answer = client.get(address)
            took[page][address].append((time.perf_counter() - began) * 1000)
            cpu[page].append((time.process_time() - began_cpu) * 1000)
            if answer.status_code not in (200, TOO_MUCH):
                raise SystemExit(f"{address} answered {answer.status_code}.")
            refused[page] += answer.status_code == TOO_MUCH or b"Too much data for this view" in answer.content
    show(took, cpu, refused, over)


def fill(rows: int, days: int) -> None:
    """The demo's calls, unless there are any."""
    from django.core.management import call_command

    from gateway.models import Call

    if not Call.objects.exists():
        call_command("demo_data", calls=rows, days=days)


def addresses(client: "django.test.Client", only: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Names of pages with addresses of their variants; of all pages, or of some."""
    from dashboards.pages.registry import PAGES
    from dashboards.pages.spend import BY
    from gateway.models import Call, Feature

    call = Call.objects.exclude(tenant="").exclude(user_ref="").exclude(session_id="").order_by("-id")[500]
    wheres: list[dict[str, str]] = [
        {}, {"feature": call.feature}, {"tenant": call.tenant}, {"user_ref": call.user_ref}, {"label": "team=search"},
        {"prompt_version": call.prompt_version}, {"model": call.model_served, "outcome": "ok"},
    ]  # fmt: skip
    ranges = [{"range": name} for name in RANGES]
    for span in ranges if not only or "overview" in only else ():
        yield "overview", f"/admin/?{urlencode(span)}"
    for page in (page for page in PAGES.values() if not only or page.name in only):
        for span in ranges:
            for where in wheres:
                more = [{"by": by} for by in BY] if page.name == "spend" else [{}]
                for one in more:
                    address = f"{page.url}?{urlencode({**span, **where, **one})}"
                    yield page.name, address
                    for chart in charts(client, address):
                        yield f"{page.name}, charts", chart
    for slug in Feature.objects.values_list("slug", flat=True) if not only or "feature" in only else ():
        address = FEATURE.format(slug=slug)
        chosen = client.get(address).content.decode().split('name="period"')[1].split("</select>")[0]
        for span in re.findall(r'value="([^"]+)"', chosen):
            yield "spend of one feature", f"{address}?{urlencode({'period': span})}"
    values = {
        "feature": call.feature, "tenant": call.tenant, "session": call.session_id, "user": call.user_ref,
        "version": call.prompt_version[:8], "id": str(call.id)[:13],
    }  # fmt: skip
    if only and "calls" not in only:
        return
    yield from lists(client, [query.format(**values) for query in QUERIES])


def charts(client: "django.test.Client", address: str) -> list[str]:
    """Where a page's charts get their data from."""
    return [html.unescape(found) for found in re.findall(r'data-chart="([^"]+)"', client.get(address).content.decode())]


def lists(client: "django.test.Client", queries: list[str]) -> Iterator[tuple[str, str]]:
    """Pages of the list of calls: the first, the one after it, one in the middle of the time, and back."""
    from django.utils import timezone

    middle = timezone.now() - timedelta(days=45)
    for query in queries:
        first = {"q": query, "since": "all"}
        yield "calls", f"{CALLS}?{urlencode(first)}"
        yield "calls", f"{CALLS}?{urlencode({'q': query, 'since': 'all', 'until': f'{middle:%Y-%m-%dT%H:%M}'})}"
        text = client.get(f"{CALLS}?{urlencode(first)}").content.decode()
        if older := re.search(r'href="([^"]*before=[^"]*)"', text):
            yield "calls, next pages", f"{CALLS}{html.unescape(older[1])}"
            yield "calls, next pages", f"{CALLS}{html.unescape(older[1]).replace('before=', 'after=')}"


def show(
    took: dict[str, dict[str, list[float]]], cpu: dict[str, list[float]], refused: Counter[str], over: float
) -> None:
    print("| page | variants | p50 ms | p95 ms | longest ms | CPU of the server's process, p50 ms | too much data |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for page, variants in took.items():
        every = [length for lengths in variants.values() for length in lengths]
        p50, p95 = np.quantile(every, (0.5, 0.95))
        print(
            f"| {page} | {len(variants)} | {p50:.0f} | {p95:.0f} | {max(every):.0f} | {np.median(cpu[page]):.0f} | {refused[page]} |"
        )
    slow = {address: float(np.median(lengths)) for variants in took.values() for address, lengths in variants.items()}
    for address, length in sorted(slow.items(), key=lambda item: -item[1]):
        if length > over:
            print(f"{length:6.0f} ms  {address}")


if __name__ == "__main__":
    main()

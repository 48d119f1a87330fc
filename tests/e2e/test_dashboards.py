"""The dashboards in a real browser: filtered, followed to the calls and back, saved. How they look: see test_every_page."""

import json
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from urllib.parse import parse_qs, urlsplit

import pytest
from django.utils import timezone
from uuid_utils.compat import uuid7

import gateway
from budgets.models import Budget, Forecast, Window, WindowSample
from dashboards.filters import Filters
from dashboards.rollups import figures
from gateway.models import AuditEntry, BreakerTrip, Owner
from tests.e2e.conftest import AXE, LISTEN
from tests.rows import make_call
from tests.world import World


@pytest.fixture
def busy(visitor):
    """A few calls of each kind, a budget that was spent from, two versions of a prompt."""
    world = World("http://127.0.0.1:9/v1")
    contents = [{"messages": [{"role": "user", "content": text}]} for text in ("one", "two")]
    versions = world.prompt(world.feature("support.reply"), *contents)
    world.feature("search.answer")
    now = timezone.now()
    for number in range(36):
        feature = "support.reply" if number % 3 else "search.answer"
        made = make_call(
            feature=feature, at=now - timedelta(hours=1 + number % 12), tenant=f"t{number % 4}", cost_usd=Decimal("0.01") * (1 + number % 5),
            prompt_version=versions[number % 2].address if feature == "support.reply" else "", first_token_ms=120, streamed=True,
            outcome="timeout" if number % 9 == 8 else "refused_policy" if number % 11 == 10 else "ok", entities={"PERSON": number % 3},
            error_class="ProviderTimeout" if number % 9 == 8 else "",
            fallback_from="" if number % 7 else "openai/gpt-4o",
        )  # fmt: skip
        if number % 5 == 1 and feature == "support.reply":
            gateway.score(made.id, "edit", number % 4 / 4)
            gateway.score(made.id, "eval", number % 4 > 0, name="grounded")
    budget = Budget.objects.create(feature="support.reply", limit=10)
    window = Window.objects.create(
        budget=budget, starts_at=now - timedelta(hours=4), ends_at=now + timedelta(hours=4), spent=4
    )
    WindowSample.objects.create(window=window, at=now - timedelta(hours=2), spent="1.5")
    Forecast.objects.create(window=window, made_at=now, expected=9, low=8, high=11, note="x")
    (process,) = Owner.objects.bulk_create([Owner(id=uuid7(), host="h", pid=1, seen_at=now + timedelta(hours=1))])
    for model, minutes, closed in (("gpt-4o", 2, None), ("gpt-4o-mini", 120, now - timedelta(minutes=100))):
        BreakerTrip.objects.create(
            id=uuid7(), process=process.pk, provider="openai", model=model, opened_at=now - timedelta(minutes=minutes),
            retry_at=now + timedelta(minutes=1), closed_at=closed, failures=5, error_class="ProviderTimeout",
        )  # fmt: skip
    AuditEntry.objects.create(actor="ada", action="payload.read", subject="payload x")
    visitor.page.add_init_script(LISTEN)
    return visitor


def drawn(visitor, name):
    """Waits until every chart has been asked for and drawn, or said why not."""
    page = visitor.page
    for chart in page.locator("figure[data-chart]").all():
        chart.scroll_into_view_if_needed()
    page.wait_for_selector("figure[data-chart]:not([aria-busy=false])", state="detached")
    visitor.look(name)


def accessible(visitor, name):
    visitor.page.evaluate(AXE.read_text())
    found = visitor.page.evaluate(
        "axe.run('#content-start', {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']})"
    )
    told = [(problem["id"], [node["html"][:200] for node in problem["nodes"]][:3]) for problem in found["violations"]]
    assert not told, f"{name}: {json.dumps(told, indent=1)}"


@pytest.mark.parametrize("visitor", [(1280, "light")], indirect=True)
def test_from_the_filter_bar_to_the_calls_and_back(busy):
    page = busy.page
    busy.open("/admin/dashboards/spend/", "dashboard-spend-week")
    page.select_option("select[name=range]", "24h")
    assert page.locator("#th-features option").evaluate_all("all => all.map(one => one.value)") == [
        "search.answer", "support.reply",
    ]  # fmt: skip
    page.fill("input[name=feature]", "support.reply")
    page.focus("form.th-bar button")
    page.keyboard.press("Enter")
    page.wait_for_url("**range=24h&feature=support.reply")
    busy.go(".th-switch >> text=Tenant")
    page.wait_for_url("**by=tenant")
    drawn(busy, "dashboard-spend-filtered")
    assert {"t0", "t1", "t2", "t3"} <= set(page.locator("#values tbody a").all_inner_texts())
    page.click("text=As a table")
    lines = page.locator(".th-data tbody tr").all()
    assert len(lines) == 24
    busy.go(page.locator(".th-data tbody a").first)
    page.wait_for_url("**/call/?q=feature%3Asupport.reply+tenant%3A*&since=*&until=*")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}
    span = (datetime.fromisoformat(asked[name]) for name in ("since", "until"))
    [counted] = figures(
        Filters(*span, where={name: (value,) for name, value in (t.split(":") for t in asked["q"].split())})
    )
    assert page.locator("table.th-calls tbody tr").count() == counted.calls > 0, "the very calls that the chart counted"
    page.go_back()
    drawn(busy, "dashboard-spend-back")
    assert "by=tenant" in page.url
    box = page.locator(".th-canvas .bars .point").last.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_url("**/call/?q=feature%3Asupport.reply+tenant%3A*")
    page.go_back()
    page.click("summary:text-is('Views')")
    page.fill(".th-views input[name=name]", "Support by tenant")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=was saved")
    page.click("summary:text-is('Views')")
    busy.look("dashboard-spend-views")
    accessible(busy, "spend with views")
    busy.open("/admin/dashboards/spend/")
    page.click("summary:text-is('Views')")
    busy.go("text=Support by tenant")
    page.wait_for_url("**range=24h&feature=support.reply&by=tenant")
    busy.go(page.get_by_label("Leave out the filter Feature support.reply"))
    assert "feature=" not in page.url and "by=tenant" in page.url
    busy.open("/admin/dashboards/spend/?range=lately&since=x&tenant=nobody", "dashboard-spend-bad")
    assert "There is no range “lately”" in page.inner_text("[role=alert]")
    assert "No calls in this time" in page.inner_text("#content")
    assert busy.problems == []
    on_paper(busy)
    a_chart_that_cannot_be_had_says_so(busy)


def on_paper(busy):
    """All charts are drawn, as wide as the paper and light; what leads elsewhere is left out, and the filters are told."""
    page = busy.page
    page.emulate_media(color_scheme="dark")
    busy.open("/admin/dashboards/reliability/?range=24h&feature=support.reply", "dashboard-reliability-paper")
    # In braces: a function that an expression comes to is called by Playwright, and the page would be printed at once.
    page.evaluate("() => { window.print = () => dispatchEvent(new Event('beforeprint')) }")
    page.get_by_role("button", name="Print").click()
    page.wait_for_selector("html[data-theme=light]")
    page.emulate_media(media="print")
    charts = page.locator("figure.is-drawn .main-svg:first-child")
    says = page.locator("figure[data-chart]:not(.is-drawn) .th-state").all_inner_texts()
    assert charts.count() == page.locator("figure[data-chart]").count() > 3, says
    assert {chart.bounding_box()["width"] for chart in charts.all()} == {660}
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(29, 39, 51)"
    assert page.locator(".th-chip").inner_text().startswith("Feature: support.reply")
    assert not any(
        page.locator(where).first.is_visible()
        for where in ("#header", "#nav-sidebar", ".th-tabs", "form.th-bar", ".th-print")
    )
    page.emulate_media(media="screen")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.documentElement.dataset.theme") == "auto"
    page.emulate_media(color_scheme="light")


def a_chart_that_cannot_be_had_says_so(busy):
    """What went wrong, and what can be done; nothing on the page moves, whatever comes."""
    page, where, waiting = busy.page, "**/data/over-time/**", []
    high = "document.querySelector('figure').getBoundingClientRect().height"
    page.route(where, lambda route: waiting.append(route), times=1)
    page.goto(f"{busy.url}/admin/dashboards/spend/?range=24h")
    page.wait_for_selector("figure[aria-busy=true] .th-state.waits >> text=Loading…")
    before = page.evaluate(high)
    waiting[0].continue_()
    page.wait_for_selector("figure[aria-busy=false].is-drawn .main-svg")
    assert page.evaluate(high) == before >= 300
    as_json = {"content_type": "application/json"}
    for words, answer in (
        ("Choose a shorter range.", {"status": 422, "body": '{"problem": "Choose a shorter range."}', **as_json}),
        ("could not make this chart (error 500)", {"status": 500, "body": "<h1>no"}),
        ("You may not see this chart", {"status": 403, "body": "<h1>no"}),
        ("is no chart", {"body": '{"series', **as_json}),
        ("The server cannot be reached", None),
    ):
        page.route(where, partial(answered, answer), times=1)
        page.reload()
        page.wait_for_selector(f"figure[aria-busy=false] .th-state:has-text('{words}') >> button:text-is('Try again')")
        assert page.evaluate(high) == before, words
    busy.problems.clear()  # the browser tells of them, too
    page.focus("button:text-is('Try again')")
    page.keyboard.press("Enter")
    page.wait_for_selector("figure.is-drawn .main-svg")
    assert page.evaluate("document.activeElement.textContent") == "As a table", "who pressed the button is still there"
    busy.look("dashboard-spend-again")
    names_are_no_markup(busy, where)
    page.route(where, lambda route: (page.context.clear_cookies(), route.continue_()))
    page.reload()
    page.wait_for_selector("figure[aria-busy=false] .th-state:has-text('You are logged out.')")
    busy.go("figure a:text-is('Log in')")
    page.wait_for_url("**/admin/login/?next=/admin/dashboards/spend/*")


def answered(answer, route):
    if answer is None:
        route.abort()
    else:
        route.fulfill(**answer)


def names_are_no_markup(busy, where):
    """Those of tenants are written by anybody: what Plotly takes for markup is text, and long ones are cut."""
    page, name = busy.page, '<a href="//x.example"><b>&amp;'
    series = [{"name": given, "values": [1], "shown": ["1"], "url": ""} for given in (name, "x" * 200)]
    times = {
        "times": ["2026-01-01T00:00:00"], "names": ["2026-01-01 00:00"], "twice": False,
        "spans": [["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]],
    }  # fmt: skip
    page.route(where, lambda route: route.fulfill(json={"kind": "bars", "unit": "count", "series": series, **times}))
    page.reload()
    page.wait_for_selector("figure.is-drawn .legendtext")
    assert page.locator(".legendtext").all_text_contents() == ['<a href="//x.examp…><b>&amp;', f"{'x' * 18}…{'x' * 9}"]
    assert page.locator("figure thead th").nth(1).text_content() == name
    assert not page.locator("figure svg a").count()
    busy.look("dashboard-spend-names")
    page.unroute(where)

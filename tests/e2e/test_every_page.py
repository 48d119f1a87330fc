"""Every page of the admin, in a product that is in use: wide and narrow, light and dark; and those of a product that is new.

What is wrong with pages is looked for in all of them, and told together.
"""

import json
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import AXE, LISTEN, Visitor
from tests.pages import DASHBOARDS, LOGIN, OTHERS, Page, places, rest
from tests.showcase import furnish

#: How a page is looked at, one after the other: width, colours, and which rules of axe it is held to there. What other
#: colours or another width cannot break is looked at once; lists and forms that are Django's own are looked at in `FEW` ways.
RULES = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}
COLOURS = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
LAYOUT = {
    "type": "rule",
    "values": [*COLOURS["values"], "scrollable-region-focusable", "label", "link-name", "button-name"],
}
WAYS = ((1280, "light", RULES), (1280, "dark", COLOURS), (390, "dark", LAYOUT), (390, "light", None))
FEW = ((1280, "light", None), (390, "dark", RULES))
#: Parts of Django's own pages that break rules: tables and boxes of forms, and the box to search a list, whose label is a picture.
NOT_OURS = [".inline-group th", ".inline-group .wrapper", ".selector", "#searchbar"]
#: Needs the analysis of texts, which has a browser test of its own.
ELSEWHERE = {"redaction-try"}
WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
UNDRAWN = """() => [...document.querySelectorAll("figure[data-chart]")].flatMap((figure) => {
    const drawn = figure.querySelector(".main-svg")?.getBoundingClientRect(), says = figure.querySelector(".th-state").textContent;
    if (!figure.classList.contains("is-drawn")) return /^No/.test(says) ? [] : [`chart: ${says}`];
    return drawn && drawn.width > 200 && drawn.height > 150 ? [] : [`no picture of ${figure.dataset.chart}`];
})"""


@pytest.fixture
def ada(browser, live_server, transactional_db, django_user_model) -> Iterator[Visitor]:
    """An administrator, who hears of everything that fails."""
    user = django_user_model.objects.create_superuser("ada", password="correct horse")
    found = Visitor(browser, live_server.url, 1280, "light")
    found.let_in(user)
    found.page.add_init_script(LISTEN)
    found.page.on("requestfailed", lambda asked: found.problems.append(f"{asked.url}: {asked.failure}"))
    found.page.on("response", lambda got: got.status >= 400 and found.problems.append(f"{got.url}: {got.status}"))
    yield found
    found.page.context.close()


def test_of_a_product_in_use(ada):
    furnish(days=2, calls=300)
    where, found = places(), {}
    for page in [*DASHBOARDS, *OTHERS]:
        if page.name not in ELSEWHERE:
            found[page.name] = wrong(ada, page, page.path.format(**where), WAYS)
        if page in DASHBOARDS and not ada.page.locator("figure.is-drawn").count():
            found[page.name].append("no chart is drawn")
    for page in rest():
        found[page.name] = wrong(ada, page, page.path, FEW)
    ada.page.context.clear_cookies()
    found[LOGIN.name] = wrong(ada, LOGIN, LOGIN.path, WAYS)
    told = {name: problems for name, problems in found.items() if problems}
    assert not told, json.dumps(told, indent=1)


def test_of_a_new_product(ada):
    """Each page says what to do next."""
    found = {}
    for page, words in (
        (DASHBOARDS[0], "This makes the first one"), (DASHBOARDS[1], "No calls in this time"), (DASHBOARDS[3], "Add a budget"),
        (DASHBOARDS[4], "No calls with a prompt"), (DASHBOARDS[5], "No calls in this time"),
        (next(page for page in OTHERS if page.name == "playground"), "prompts push"),
        (next(page for page in OTHERS if page.name == "calls"), "curl"),
    ):  # fmt: skip
        path = page.path.partition("?")[0]
        found[page.name] = wrong(ada, page, path, FEW) + missing(ada, words)
    told = {name: problems for name, problems in found.items() if problems}
    assert not told, json.dumps(told, indent=1)


def missing(ada: Visitor, words: str) -> list[str]:
    text = ada.page.inner_text("#content")
    return [] if words in text else [f"it does not say {words!r}: {text[:300]}"]


def wrong(ada: Visitor, page: Page, path: str, ways) -> list[str]:
    """All that is wrong with a page."""
    tab, found = ada.page, []
    ada.problems.clear()
    for number, (width, scheme, rules) in enumerate(ways):
        ada.width, ada.scheme = width, scheme
        tab.set_viewport_size({"width": width, "height": 900})
        tab.emulate_media(color_scheme=scheme)
        if not number:
            tab.goto(ada.url + path)
            if page.act:
                page.act(tab)
        ada.keep(page.name)
        found += [f"{width} {scheme}: {told}" for told in (*undrawn(tab), *too_wide(tab), *inaccessible(tab, rules))]
    return [*found, *ada.problems]


def undrawn(tab) -> list[str]:
    """Charts of the page that are not drawn, and do not say why."""
    for chart in tab.locator("figure[data-chart]").all():
        chart.scroll_into_view_if_needed()
    tab.wait_for_selector("figure[data-chart]:not([aria-busy=false])", state="detached")
    return tab.evaluate(UNDRAWN)


def too_wide(tab) -> list[str]:
    # Charts become as wide as the window a moment after it.
    for _ in range(30):
        wide = tab.evaluate(WIDE)
        if wide <= 0:
            return []
        tab.wait_for_timeout(100)
    return [f"{wide} px too wide"]


def inaccessible(tab, rules) -> list[str]:
    """Rules of axe that the page breaks, with where."""
    if rules is None:
        return []
    if tab.evaluate("typeof axe") == "undefined":
        tab.evaluate(AXE.read_text())
    found = tab.evaluate(
        "([exclude, run]) => axe.run({exclude}, run)", [NOT_OURS, {"runOnly": rules, "resultTypes": ["violations"]}]
    )
    return [f"{rule['id']}: {[node['html'][:160] for node in rule['nodes']][:3]}" for rule in found["violations"]]

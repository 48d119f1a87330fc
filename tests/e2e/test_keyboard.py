"""Without a mouse: everything on a page is reached by the keyboard, in its order, and one sees where one is."""

from datetime import timedelta

import pytest
from django.utils import timezone

from tests.rows import make_call

#: What Tab should come to, in the order of the page.
CONTROLS = """() => [...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, summary, [tabindex='0']")].filter(
    (one) => one.checkVisibility({visibilityProperty: true}) && !one.disabled && one.tabIndex >= 0).map((one, number) => {
    one.dataset.order = number; return one.outerHTML.slice(0, 120) })"""
HERE = """() => { const one = document.activeElement, look = getComputedStyle(one), box = one.getBoundingClientRect();
    return {order: Number(one.dataset.order ?? -1), html: one.outerHTML.slice(0, 120),
            seen: look.outlineStyle !== "none" && parseFloat(look.outlineWidth) >= 1 && box.width > 0 && box.right > 0} }"""


@pytest.mark.parametrize("visitor", [(1280, "light")], indirect=True)
def test_every_control_of_a_dashboard_is_reached_in_order_and_seen(visitor):
    make_call(feature="support.reply", tenant="acme", at=timezone.now() - timedelta(hours=1))
    visitor.open("/admin/dashboards/spend/?range=24h&feature=support.reply")
    page, press = visitor.page, visitor.page.keyboard.press
    page.wait_for_selector("figure.is-drawn .main-svg")
    controls = page.evaluate(CONTROLS)
    press("Tab")
    assert "skip-to-content-link" in page.evaluate(HERE)["html"], "the first of all leads past what is on every page"
    unseen, order = [], []
    for _ in controls:
        here = page.evaluate(HERE)
        order.append(here["order"])
        if not here["seen"]:
            unseen.append(here["html"])
        press("Tab")
    assert not unseen
    assert order == list(range(len(controls))), [controls[n] for n in set(range(len(controls))) - set(order)]
    the_points_of_a_chart_are_links(page, press)
    what_opens_closes_by_escape(visitor, page, press)


def the_points_of_a_chart_are_links(page, press):
    page.focus("figure summary")
    press("Enter")
    press("Tab")
    assert page.evaluate("document.activeElement.matches('.th-data')"), "which scrolls by the arrow keys"
    press("Tab")
    assert "calls of support.reply from" in page.evaluate("document.activeElement.ariaLabel")
    press("Enter")
    page.wait_for_url("**/call/?q=feature%3Asupport.reply&since=*&until=*")
    assert page.locator("table.th-calls tbody tr").count() == 1
    press("?")
    page.wait_for_selector("#th-help[open]")
    page.focus("#th-help a")
    press("Escape")
    page.wait_for_selector("#th-help:not([open])", state="attached")


def what_opens_closes_by_escape(visitor, page, press):
    visitor.open("/admin/dashboards/spend/")
    for name in ("Views", "More filters"):
        page.focus(f"summary:text-is('{name}')")
        press("Enter")
        press("Tab")
        assert page.evaluate("document.activeElement.closest('details[open]') !== null"), name
        press("Escape")
        assert page.evaluate("document.activeElement.textContent") == name, "who closes it is where it was opened"
        assert not page.locator("details.th-menu[open]").count()
    page.click("summary:text-is('Views')")
    page.click("h1")
    assert not page.locator("details.th-menu[open]").count(), "a click beside a menu closes it"

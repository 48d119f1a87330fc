"""The pages of prompts in a real browser: compare, move, roll back, try out; with the keyboard and without scripts."""

import pytest

from gateway import engine
from gateway.models import Call, Deployment, Feature, Variant
from gateway.prompts.deploy import move
from tests.e2e.conftest import Visitor
from tests.gateway.prompts.authored import author
from tests.rows import make_call
from tests.world import World

OLD = "You are a friendly support agent of an online shop.\nAnswer in two sentences.\nNever promise a refund.\nSign with the shop's name."
NEW = OLD.replace("Answer in two sentences.", "Answer in at most three short sentences.\nBegin with <b>their</b> name.")


@pytest.fixture
def versions(visitor, provider):
    feature = World(provider.base_url).feature("support.reply")
    old = author(feature, OLD, parameters={"temperature": 0.2})
    new = author(feature, NEW, parameters={"temperature": 0.4})
    move(old.prompt, {old: 100}, actor="ada", reason="The first one")
    move(old.prompt, {old: 90, new: 10}, actor="ada", reason="A ramp, to see whether customers like names")
    for number in range(12):
        make_call(prompt_version=(old, new)[number % 3 == 0].address, latency_ms=700.0 + 40 * number,
                  outcome="timeout" if number == 5 else "ok")  # fmt: skip
    yield old, new
    engine.stop()


def page_of(row):
    return f"/admin/tollhouse_gateway/{row._meta.model_name}/{row.pk}/change/"


def test_a_version_is_compared_with_the_live_one(visitor, versions):
    old, new = versions
    visitor.open(page_of(new), "version")
    text = visitor.page.inner_text("#content")
    for words in ("live, 10 of 100", "Begin with <b>their</b> name.", '"temperature": 0.4', "Median latency"):
        assert words in text
    assert visitor.page.locator(".th-diff .added").count() == 3
    assert visitor.page.locator(".th-diff .removed").count() == 2
    signs = {sign.inner_text() for sign in visitor.page.locator(".th-diff li > span[aria-label]").all()}
    assert signs == {"+", "−"}
    visitor.page.select_option("select[name=days]", "30")
    visitor.page.focus("text=Show")
    visitor.page.keyboard.press("Enter")
    visitor.page.wait_for_url("**days=30**")
    visitor.look("version-30-days")
    visitor.open("/admin/tollhouse_gateway/promptversion/", "versions")
    visitor.open(page_of(old), "version-old")

    like = old.prompt.feature
    author(Feature.objects.create(slug="other", policy=like.policy, route=like.route), "Be brief.")
    visitor.open("/admin/dashboards/prompts/?range=24h&prompt=other", "dashboard-prompt-without-calls")
    assert "No version of other was called" in visitor.page.inner_text("#content")
    visitor.page.focus(".th-pick input[list]")
    visitor.page.keyboard.type("support.reply")
    visitor.page.keyboard.press("Enter")
    visitor.page.wait_for_url("**prompt=support.reply**")
    visitor.look("dashboard-prompt-chosen")
    assert visitor.page.inner_text("#versions h2") == "support.reply"


def test_a_deployment_moves_and_rolls_back_by_keyboard(visitor, versions):
    old, new = versions
    deployment = Deployment.objects.get()
    visitor.open(page_of(deployment), "deployment")
    page = visitor.page
    assert "A ramp, to see whether customers like names" in page.inner_text("#moves")
    page.fill(f"#id_weight_{old.pk}", "50")
    page.fill(f"#id_weight_{new.pk}", "50")
    page.fill("#id_reason", "Half and half")
    # Enter in the form moves to the weights; it does not press a version's own button.
    page.keyboard.press("Enter")
    page.wait_for_selector(".messagelist")
    visitor.look("deployment-moved")
    assert set(Variant.objects.values_list("weight", flat=True)) == {50}
    page.fill("#id_reason", "The new one wins")
    page.locator("tr", has_text=new.short).locator("button[name=alone]").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("text=The new one wins")
    assert Variant.objects.get().version == new
    page.fill("#id_reason", "It is rude")
    visitor.go("button[name=roll_back]")
    page.wait_for_selector("text=It is rude")
    assert Variant.objects.count() == 2
    visitor.go(page.locator("text=Put back").last)
    assert (page.input_value(f"#id_weight_{old.pk}"), page.input_value(f"#id_weight_{new.pk}")) == ("100", "0")
    visitor.look("deployment-put-back")
    visitor.open("/admin/tollhouse_gateway/deployment/", "deployments")


def test_a_draft_is_rendered_and_run(visitor, versions):
    _, new = versions
    visitor.open(f"/admin/tollhouse_gateway/promptversion/playground/?version={new.pk}", "playground")
    page = visitor.page
    page.fill("#id_variables", '{"tiket": "x"}')
    visitor.go("button[name=render]")
    page.wait_for_selector(".errorlist")
    visitor.look("playground-misfit")
    assert "needs ticket; given were tiket" in page.inner_text("#draft")
    page.fill("#id_variables", '{"ticket": "<img src=x onerror=alert(1)> Where is my order?"}')
    page.focus("button[name=run]")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Reply")
    visitor.look("playground-run")
    assert "<img src=x onerror=alert(1)> Where is my order?" in page.inner_text("#result")
    assert Call.objects.filter(source="playground").get().outcome == "ok"
    page.fill("#id_content", page.input_value("#id_content").replace("three", "four"))
    visitor.go("button[name=save]")
    page.wait_for_selector("text=it is not live yet")
    visitor.look("version-saved")


def test_the_pages_work_without_scripts(visitor, versions, browser):
    _, new = versions
    context = browser.new_context(java_script_enabled=False, storage_state=visitor.page.context.storage_state())
    page = context.new_page()
    page.goto(f"{visitor.url}{page_of(Deployment.objects.get())}")
    page.fill("#id_reason", "Without scripts")
    with page.expect_navigation():
        page.locator("tr", has_text=new.short).locator("button[name=alone]").click()
    assert Variant.objects.get().version == new
    page.goto(f"{visitor.url}/admin/tollhouse_gateway/promptversion/playground/?version={new.pk}")
    page.fill("#id_variables", '{"ticket": "plain"}')
    with page.expect_navigation():
        page.click("button[name=render]")
    assert "plain" in page.inner_text("#result")
    context.close()


def test_light_and_dark_at_both_widths(versions, browser, visitor, live_server):
    old, new = versions
    state = visitor.page.context.storage_state()
    scheme = {"light": "dark", "dark": "light"}[visitor.scheme]
    other = Visitor(browser, live_server.url, visitor.width, scheme)
    other.page.context.add_cookies(state["cookies"])
    other.open(page_of(new), "version")
    other.open(page_of(Deployment.objects.get()), "deployment")
    other.open(f"/admin/tollhouse_gateway/promptversion/playground/?version={old.pk}", "playground")
    other.page.context.close()

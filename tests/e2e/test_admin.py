"""What people do on the pages of the admin, in a real browser; how all of them look: see test_every_page."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from budgets.models import Alert, Budget, Switch, Window
from gateway.explorer import search
from gateway.models import AuditEntry, Key
from tests.rows import make_call, many_calls
from tests.world import World

PAYLOAD = {
    "messages": [
        {"role": "system", "content": "You are a friendly support agent."},
        {"role": "user", "content": "Hello, I am [PERSON_1]. <script>alert(1)</script> Where is my order?"},
    ],
    "reply": [{"role": "assistant", "content": "Dear [PERSON_1], it is on its way.", "tool_calls": [
        {"id": "c", "type": "function", "function": {"name": "look_up", "arguments": '{"order": "4711"}'}}]}],
}  # fmt: skip


@pytest.fixture
def configured(visitor):
    world = World("http://127.0.0.1:9/v1")
    feature = world.feature("support.reply", "gpt-4o-mini", "backup")
    [version] = world.prompt(feature, {"messages": [{"role": "user", "content": "{{ ticket }}"}]})
    now = timezone.now()
    for scope, spent, held, limit in (
        ("support.reply", "17.5", "1.25", 25),
        ("", "99", "1", 100),
        ("summary", "3", "0", 10),
    ):
        budget = Budget.objects.create(feature=scope, limit=limit)
        Window.objects.create(
            budget=budget, starts_at=now - timedelta(hours=9), ends_at=now + timedelta(hours=15), spent=spent, held=held
        )
    Switch.objects.create(scope="model", value="gpt-4o", reason="Answers in the wrong language", set_by="ada")
    Alert.objects.create(
        kind="budget_threshold", severity="warning", dedup_key="a", summary="70% of the day's budget is spent."
    )
    call = make_call(
        prompt_version=version.address, tenant="acme", user_ref="0f3a", session_id="s-1", streamed=True, first_token_ms=180.0,
        entities={"PERSON": 1}, payload=PAYLOAD, labels={"team": "checkout"}, fallback_from="mock/gpt-4o-mini", attempts=2,
        trace={"stages": {"identify": 0.02, "redact": 1.9, "hold": 1.1, "send": 1420.0},
               "attempts": [{"target": "mock/gpt-4o-mini", "outcome": "timeout", "ms": 600.0, "status": 504}]},
    )  # fmt: skip
    make_call(
        outcome="refused_budget",
        cost_usd=Decimal(0),
        reason="This call may need 0.002 usd, but there is 0 left.",
        trace={},
    )
    make_call(
        outcome="provider_error", http_status=500, cost_usd=None, error_class="ProviderError", usage_estimated=True
    )
    return world, call


def test_the_overview_shows_what_is_live(visitor, configured):
    visitor.open("/admin/", "overview")
    text = visitor.page.inner_text("#content")
    for words in (
        "$17.50 of $25.00 a day",
        "Answers in the wrong language",
        "70% of the day's budget",
        "refused_budget",
    ):
        assert words in text


def test_the_overview_of_an_empty_system_tells_the_first_steps(visitor):
    visitor.open("/admin/", "overview-empty")
    assert "First steps" in visitor.page.inner_text("#content")


def test_the_list_of_calls_filters_pages_and_leads_to_a_call(visitor, configured):
    _, call = configured
    many_calls(120)
    page = visitor.page
    visitor.open("/admin/tollhouse_gateway/call/", "calls-many")
    # By keyboard alone: the query is completed, sent, and leads to a call.
    page.keyboard.press("/")
    page.keyboard.type("fea")
    page.wait_for_selector("#th-options li:has-text('feature')")
    page.keyboard.press("Tab")
    page.wait_for_selector("#th-options li:has-text('support.reply')")
    visitor.look("calls-complete")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.input_value("#th-q") == "feature:support.reply"
    page.keyboard.press("Enter")
    page.wait_for_url("**q=feature**")
    visitor.look("calls")
    assert page.locator(".th-calls tbody tr").count() == 3
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    page.wait_for_url("**/change/")
    page.go_back()
    page.keyboard.press("?")
    page.wait_for_selector("#th-help[open]")
    visitor.look("calls-help")
    visitor.open("/admin/tollhouse_gateway/call/?q=cost>0.1+tenat:acme", "calls-problem")
    assert page.inner_text("#th-problem mark") == "tenat"
    visitor.open("/admin/tollhouse_gateway/call/", "calls-many")
    seen = set()
    for _ in range(2):
        seen |= {a.get_attribute("href") for a in visitor.page.locator(".th-calls tbody a:has(time)").all()}
        visitor.go("text=Older")
    seen |= {a.get_attribute("href") for a in visitor.page.locator(".th-calls tbody a:has(time)").all()}
    assert len(seen) == 124
    visitor.go("text=Newest")
    visitor.open(f"/admin/tollhouse_gateway/call/?id={call.id}", "call-by-id")
    assert str(call.id) in visitor.page.url


def test_the_list_of_calls_says_why_it_is_empty(visitor):
    visitor.open("/admin/tollhouse_gateway/call/", "calls-none")
    assert "No call yet" in visitor.page.inner_text("#content")
    make_call()
    visitor.open("/admin/tollhouse_gateway/call/?feature=other", "calls-no-fit")
    # A search that takes long goes on by itself.
    visitor.page.wait_for_selector("#content :text('No call fits')")
    visitor.page.goto(f"{visitor.url}/admin/tollhouse_gateway/call/?id=nonsense")
    assert "wants the id of a call" in visitor.page.inner_text("body")


def test_a_call_s_page_and_its_payload(visitor, configured):
    _, call = configured
    visitor.open(f"/admin/tollhouse_gateway/call/{call.id}/change/", "call")
    text = visitor.page.inner_text("#content")
    for words in ("mock/gpt-4o-mini timeout 504", "1 × PERSON", "support.reply@", "checkout"):
        assert words in text
    assert "PERSON_1" not in text
    visitor.page.focus("text=Show payload")
    visitor.page.keyboard.press("Enter")
    visitor.page.wait_for_selector(".th-message")
    visitor.look("call-payload")
    assert "<script>alert(1)</script>" in visitor.page.inner_text("#payload")
    assert visitor.page.locator("mark.th-mask").count() == 2
    assert AuditEntry.objects.get().action == "payload.read"
    visitor.page.click("text=As curl")
    assert "X-Tollhouse-Tenant: acme" in visitor.page.inner_text("#th-curl")
    other = make_call(parent=call.id, payload=PAYLOAD | {"reply": []}, tenant="acme", session_id="s-1")
    visitor.open(f"/admin/tollhouse_gateway/call/{call.id}/compare/?against={other.id}", "call-compare")
    visitor.go("text=Show differences")
    visitor.page.wait_for_selector(".th-diff")
    visitor.look("call-differences")
    visitor.open(f"/admin/tollhouse_gateway/call/{call.id}/change/", "call-trace")
    visitor.go("dd a:has-text('s-1')")
    visitor.go("text=Show conversation")
    visitor.page.wait_for_selector(".th-message")
    visitor.look("call-session")


def test_a_search_goes_on_by_itself_until_its_end(visitor, monkeypatch):
    # Without any time each answer covers one slice only.
    monkeypatch.setattr(search, "BUDGET_S", 0)
    for hours in (1, 9, 17):
        make_call(at=timezone.now() - timedelta(hours=hours), tenant="rare")
    visitor.open("/admin/tollhouse_gateway/call/?q=tenant:rare&since=24h")
    visitor.page.wait_for_selector("#th-searched:has-text('Searched to the end.')")
    visitor.look("calls-searched")
    assert visitor.page.locator(".th-calls tbody tr").count() == 3


def test_switching_off_and_lifting(visitor, configured):
    visitor.open("/admin/tollhouse_budgets/switch/add/", "switch-add")
    visitor.page.select_option("#id_scope", "feature")
    visitor.page.fill("#id_value", "suport.reply")
    visitor.page.fill("#id_reason", "It went wild")
    visitor.go("input[name=_save]")
    visitor.look("switch-mistake")
    assert "Did you mean support.reply?" in visitor.page.inner_text("#content")
    visitor.page.fill("#id_value", "support.reply")
    visitor.go("input[name=_save]")
    switch = Switch.objects.get(scope="feature")
    assert (switch.set_by, switch.lifted_at) == ("admin", None)
    visitor.page.check(f".action-select[value='{switch.pk}']")
    visitor.page.select_option("select[name=action]", "lift")
    visitor.go("button[name=index]")
    visitor.page.wait_for_url("**/lift/**")
    visitor.page.fill("#id_reason", "It calmed down")
    visitor.go("button:text-is('Lift')")
    visitor.page.wait_for_url("**/switch/")
    switch.refresh_from_db()
    assert switch.lifted_by == "admin"
    visitor.look("switch-lifted")


def test_a_key_is_shown_once_rotated_and_revoked(visitor, configured):
    visitor.open("/admin/tollhouse_gateway/key/add/", "key-add")
    visitor.page.fill("#id_name", "web")
    visitor.page.fill("#id_features", "sales.*")
    visitor.page.select_option("#id_default_feature", "support.reply")
    visitor.go("input[name=_save]")
    visitor.look("key-mistake")
    assert "The key may not use support.reply" in visitor.page.inner_text("#content")
    visitor.page.fill("#id_features", "support.*")
    visitor.go("input[name=_save]")
    first = visitor.page.inner_text("#key")
    assert first.startswith("th_") and len(first) > 40
    visitor.look("key-shown")
    visitor.go("text=I have copied it")
    assert first not in visitor.page.content()
    visitor.look("key-list")
    visitor.go("#result_list >> text=web")
    visitor.look("key-page")
    visitor.go("a:text-is('Rotate')")
    visitor.look("key-rotate")
    visitor.page.fill("#id_hours", "2")
    visitor.go("text=Rotate and show")
    second = visitor.page.inner_text("#key")
    visitor.look("key-rotated")
    assert second != first and first[:8] in visitor.page.inner_text("#content")
    key = Key.objects.get(name="web")
    visitor.open(f"/admin/tollhouse_gateway/key/{key.pk}/rotate/", "key-rotate-in-grace")
    visitor.open(f"/admin/tollhouse_gateway/key/{key.pk}/change/", "key-page-rotated")
    visitor.page.select_option("select[name=CHANGE_FORM-action]", "revoke")
    visitor.go("button:text-is('Run')")
    visitor.look("key-revoked")
    key.refresh_from_db()
    assert key.revoked_at is not None
    visitor.open("/admin/tollhouse_gateway/auditentry/", "audit")
    visitor.go("#result_list tr:has-text('key.rotate') a")
    visitor.look("audit-entry")
    visitor.open("/admin/tollhouse_gateway/auditentry/compliance/", "compliance")

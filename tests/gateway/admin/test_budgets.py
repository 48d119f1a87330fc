"""Budgets in the admin: raised by those who may, paused with a reason, deleted without losing windows; rates beside them."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from budgets.models import Alert, Budget, BudgetRaise, Rate, Window
from gateway.models import AuditEntry
from tests.gateway.admin.test_pages import address, staff

__all__ = ["staff"]
pytestmark = pytest.mark.django_db
FORM = {
    "feature": "", "tenant": "", "metric": "usd", "limit": "25", "period": "day", "timezone": "UTC", "soft_percent": "50, 70,90",
    "on_hard": "ask", "active": "on", "windows-TOTAL_FORMS": "0", "windows-INITIAL_FORMS": "0",
}  # fmt: skip


@pytest.fixture
def budget():
    return Budget.objects.create(tenant="acme", limit=10)


@pytest.fixture
def window(budget):
    now = timezone.now()
    start, end = budget.window_at(now)
    return Window.objects.create(budget=budget, starts_at=start, ends_at=end, spent=Decimal("9.5"))


def page(budget, window=None):
    return address(Budget, "raise", budget.pk) + (f"?window={window.pk}" if window else "")


def filled(client, path):
    """The form of the page, as it would be sent with one click and a reason."""
    form = client.get(path).context["form"]
    values = {bound.name: bound.value() for bound in form}
    values["expires_at"] = values["expires_at"].strftime("%Y-%m-%dT%H:%M")
    return {**values, "reason": "a launch"}


def test_a_raise_takes_one_click_and_a_reason_and_is_audited(staff, budget, window):
    client = staff("raise_budget", "view_budget")
    form = filled(client, page(budget, window))
    assert (form["amount"], form["expires_at"]) == ("2", f"{window.ends_at:%Y-%m-%dT%H:%M}")
    assert client.post(page(budget, window), form).status_code == 302
    row = BudgetRaise.objects.get()
    assert (row.amount, row.value, row.reason, row.expires_at) == (2, "", "a launch", window.ends_at)
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.reason, entry.actor) == ("budget.raise", "a launch", row.by)
    assert entry.detail == {"amount": "2 usd", "value": "", "until": window.ends_at.isoformat()}
    assert Window.objects.with_limit().get().limit == 12
    assert "$12" in client.get(page(budget, window)).content.decode()


def test_a_raise_ends_the_alert_that_asked_for_it_and_no_other(staff, budget, window):
    for number, detail in enumerate(
        ({"budget": budget.pk, "value": ""}, {"budget": budget.pk, "value": "x"}, {"budget": 0, "value": ""})
    ):
        Alert.objects.create(
            kind="budget_exhausted", severity="critical", dedup_key=f"x{number}", summary="x", detail=detail
        )
    client = staff("raise_budget")
    client.post(page(budget), filled(client, page(budget)))
    [ended] = Alert.objects.exclude(resolved_at=None)
    assert ended.dedup_key == "x0" and ended.resolution.endswith(": a launch")


def test_the_same_click_twice_raises_once(staff, budget, window):
    client = staff("raise_budget")
    form = filled(client, page(budget, window))
    client.post(page(budget, window), form)
    answer = client.post(page(budget, window), form)
    assert "was raised since this page was opened" in answer.content.decode()
    assert BudgetRaise.objects.count() == 1


def test_only_those_who_may_raise_and_withdraw(staff, budget, window):
    for permissions in ((), ("view_budget", "change_budget", "add_budget")):
        client = staff(*permissions)
        assert client.get(page(budget)).status_code == client.post(page(budget), {}).status_code == 403
    row = BudgetRaise.objects.create(budget=budget, amount=1, reason="r", expires_at=window.ends_at)
    act = {"action": "withdraw", "_selected_action": [row.pk]}
    staff("view_budgetraise", "change_budget").post(address(BudgetRaise, "changelist"), act)
    assert BudgetRaise.objects.in_force().exists()
    staff("view_budgetraise", "raise_budget").post(address(BudgetRaise, "changelist"), act)
    row.refresh_from_db()
    assert row.withdrawn_at and row.withdrawn_by
    assert AuditEntry.objects.get().action == "budgetraise.withdraw"
    assert Window.objects.with_limit().get().limit == 10


@pytest.mark.parametrize(
    "values, words",
    [
        ({"amount": "0"}, "A raise is more than 0"),
        ({"amount": "-1"}, "A raise is more than 0"),
        ({"reason": ""}, "This field is required"),
        ({"expires_at": "2020-01-01T00:00"}, "That is past"),
    ],
)
def test_what_cannot_be_raised_is_told(staff, budget, values, words):
    client = staff("raise_budget")
    answer = client.post(page(budget), {**filled(client, page(budget)), **values})
    assert words in answer.content.decode() and not BudgetRaise.objects.exists()


def test_a_raise_of_tokens_is_whole(staff):
    budget = Budget.objects.create(metric="tokens", limit=1000)
    client = staff("raise_budget")
    answer = client.post(page(budget), {**filled(client, page(budget)), "amount": "1.5"})
    assert "A raise in tokens is a whole number" in answer.content.decode()


def test_a_divided_budget_is_raised_for_one_value(staff):
    budget = Budget.objects.create(each=["tenant"], limit=10)
    start, end = budget.window_at(timezone.now())
    windows = {t: Window.objects.create(budget=budget, value=t, starts_at=start, ends_at=end) for t in ("a", "<b>")}
    client = staff("raise_budget")
    form = filled(client, page(budget, windows["<b>"]))
    assert form["of_tenant"] == "<b>" and "<b>" not in client.get(page(budget, windows["<b>"])).content.decode()
    client.post(page(budget, windows["<b>"]), form)
    client.post(page(budget), {**filled(client, page(budget)), "of_tenant": "c"})
    assert list(BudgetRaise.objects.order_by("id").values_list("value", flat=True)) == ["<b>", "c"]
    limits = dict(Window.objects.with_limit().values_list("value", "raised"))
    assert limits == {"a": 0, "<b>": 2}


def test_the_alert_leads_to_the_raise(staff, budget, window):
    Alert.objects.create(
        kind="budget_exhausted", severity="critical", dedup_key="x", summary="x", detail={"link": page(budget, window)}
    )
    path = address(Alert, "change", Alert.objects.get().pk)
    link = f'href="{page(budget, window)}"'
    assert link in staff("view_alert", "raise_budget").get(path).content.decode()
    assert link not in staff("view_alert").get(path).content.decode()


def test_a_budget_with_all_that_it_can_have_is_made(admin_client):
    Rate.objects.create(currency="EUR", per_usd=1, effective_from="2026-01-01", source="x")
    form = {**FORM, "each": ["tenant", "feature"], "currency": "EUR", "period": "range", "starts_on": "2026-01-01", "ends_on": "2026-03-31"}  # fmt: skip
    assert admin_client.post(address(Budget, "add"), form).status_code == 302
    budget = Budget.objects.get()
    assert (budget.each, budget.currency, budget.soft_percent) == (["feature", "tenant"], "EUR", [50, 70, 90])
    assert str(budget) == "each feature, each tenant EUR/range 2026-01-01 to 2026-03-31"
    # What its windows mean is shown, and not taken from a form.
    admin_client.post(address(Budget, "change", budget.pk), {**form, "metric": "calls", "each": [], "limit": "30"})
    budget.refresh_from_db()
    assert (budget.metric, budget.each, budget.limit) == ("usd", ["feature", "tenant"], 30)


@pytest.mark.parametrize(
    "values, words",
    [
        ({"tenant": "acme", "each": ["tenant"]}, "tenant cannot be one value and each of them"),
        ({"each": ["tenant", "feature", "key"]}, "At most 2 of"),
        ({"soft_percent": "70, 101"}, "whole numbers from 1 to 100"),
        ({"period": "range", "starts_on": "2026-01-01"}, "give both"),
        ({"period": "range", "starts_on": "2026-01-02", "ends_on": "2026-01-01"}, "before the first one"),
        ({"starts_on": "2026-01-02"}, "Dates belong to a budget whose period is range"),
        ({"active": ""}, "Say why the budget is paused"),
    ],
)
def test_what_cannot_be_is_told_in_words(admin_client, values, words):
    answer = admin_client.post(address(Budget, "add"), {**FORM, **values})
    assert answer.status_code == 200 and words in answer.content.decode()


def test_a_pause_has_a_reason_in_the_audit_log(admin_client, budget):
    form = {**FORM, "tenant": "acme", "limit": "10", "soft_percent": "70", "on_hard": "block", "active": ""}
    admin_client.post(address(Budget, "change", budget.pk), {**form, "paused_reason": "a migration"})
    changes = AuditEntry.objects.get(action="budget.change").detail["changes"]
    assert changes == {"active": [True, False], "paused_reason": ["", "a migration"]}


def test_a_deleted_budget_is_gone_from_lists_and_its_windows_stay(admin_client, budget, window):
    other = Budget.objects.create(tenant="umbrella", limit=1)
    answer = admin_client.post(address(Budget, "delete", budget.pk), {"post": "yes"})
    assert answer.status_code == 302 and not Budget.objects.filter(pk=budget.pk).exists()
    act = {"action": "delete_selected", "_selected_action": [other.pk], "post": "yes"}
    admin_client.post(address(Budget, "changelist"), act)
    assert not Budget.objects.exists() and Window.objects.get() == window
    admin_client.get(address(Budget, "changelist"))  # shows the messages of the deletions
    assert "acme" not in admin_client.get(address(Budget, "changelist")).content.decode()
    assert "acme" in admin_client.get(address(Window, "changelist")).content.decode()
    assert AuditEntry.objects.filter(action="budget.delete").count() == 2
    # Its place is free.
    assert admin_client.post(address(Budget, "add"), {**FORM, "tenant": "acme"}).status_code == 302


def test_a_rate_is_added_and_never_changed(admin_client):
    form = {"currency": "EUR", "per_usd": "0.92", "effective_from": "2026-01-01", "source": "ECB"}
    for values, words in (({"currency": "eur"}, "three capital letters"), ({"currency": "USD"}, "needs no rate"),
                          ({"per_usd": "0"}, "more than 0")):  # fmt: skip
        assert words in admin_client.post(address(Rate, "add"), {**form, **values}).content.decode()
    assert admin_client.post(address(Rate, "add"), form).status_code == 302
    assert AuditEntry.objects.get().detail == {"per_usd": "0.92", "source": "ECB"}
    assert admin_client.post(address(Rate, "change", Rate.objects.get().pk), form).status_code == 403


def test_windows_in_other_currencies_say_what_they_may_hold(admin_client, staff):
    Rate.objects.create(currency="EUR", per_usd=2, effective_from="2026-01-01", source="x")
    budget = Budget.objects.create(limit=10, currency="EUR", each=["tenant"])
    now = timezone.now()
    Window.objects.create(budget=budget, value="acme", rate=2, spent=4, starts_at=now, ends_at=now + timedelta(hours=1))
    text = admin_client.get("/admin/").content.decode()
    assert "tenant acme" in text and "$5.00" in text and "80% spent" in text

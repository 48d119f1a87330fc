"""Every page of the admin that somebody may come to, once: what the tests look at, and what screenshots are made of.

A new page is a line here; its address may hold places that `places` fills in.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import Model
from django.urls import reverse
from playwright.sync_api import Page as Tab

from budgets.models import Alert, Budget, Switch, SwitchTrigger
from gateway.models import Call, Dataset, DatasetItem, Deployment, Key, LegalHold, PromptVersion
from redaction.models import RedactionPolicy
from tests.showcase import FEATURE, SESSION, TENANT


@dataclass(frozen=True, slots=True)
class Page:
    """`name` is its file's, `title` its own; `act` brings an open page to what is to be seen. `shown`: it is in the docs."""

    name: str
    title: str
    path: str
    act: Callable[[Tab], object] | None = None
    shown: bool = True


def _click(text: str, then: str) -> Callable[[Tab], object]:
    """Clicks what has this text, and waits for what comes."""

    def act(tab: Tab) -> object:
        tab.click(f"text={text}")
        return tab.wait_for_selector(then)

    return act


def _try_out(tab: Tab) -> None:
    tab.fill(
        "#id_text", "Dear Ms Okafor, write to jane.doe@example.com about Project Falcon. Card: 4111 1111 1111 1111."
    )
    tab.click("button:has-text('Try it out')")
    tab.wait_for_selector("#result")


DASHBOARDS = (
    Page("overview", "Overview", "/admin/"),
    Page("spend", "Spend", "/admin/dashboards/spend/"),
    Page("reliability", "Latency and reliability", "/admin/dashboards/reliability/"),
    Page("budgets", "Budgets", "/admin/dashboards/budgets/"),
    Page("prompts", "Prompts", f"/admin/dashboards/prompts/?feature={FEATURE}&range=30d"),
    Page("privacy", "Privacy", "/admin/dashboards/privacy/"),
)
OTHERS = (
    Page("feature-spend", "A feature's spend", "/admin/tollhouse_gateway/feature/{feature}/spend/"),
    Page("calls", "Calls", "/admin/tollhouse_gateway/call/?since=7d"),
    Page("calls-query", "Calls, a query", "/admin/tollhouse_gateway/call/?since=7d&q=-outcome%3Aok+feature%3Asupport.*"),
    Page("call", "A call", "/admin/tollhouse_gateway/call/{call}/change/", _click("Show payload", ".th-message")),
    Page("call-trace", "A call of an agent's run", "/admin/tollhouse_gateway/call/{agent}/change/"),
    Page("session", "A session", "/admin/tollhouse_gateway/call/session/?{session}", _click("Show conversation", ".th-message")),
    Page(
        "comparison", "Two calls compared", "/admin/tollhouse_gateway/call/{call}/compare/?against={before}",
        _click("Show differences", ".th-diff"),
    ),
    Page("dataset", "A dataset", "/admin/tollhouse_gateway/dataset/{dataset}/change/"),
    Page("dataset-export", "Export of a dataset", "/admin/tollhouse_gateway/dataset/{dataset}/export/", shown=False),
    Page("dataset-items", "Items of a dataset", "/admin/tollhouse_gateway/datasetitem/"),
    Page("dataset-item", "An item of a dataset", "/admin/tollhouse_gateway/datasetitem/{item}/change/"),
    Page("budget", "A budget", "/admin/tollhouse_budgets/budget/{budget}/change/"),
    Page("budget-add", "A new budget", "/admin/tollhouse_budgets/budget/add/", shown=False),
    Page("budget-raise", "Raising a budget", "/admin/tollhouse_budgets/budget/{budget}/raise/"),
    Page("switches", "Kill switches", "/admin/tollhouse_budgets/switch/"),
    Page("switch-add", "Switching something off", "/admin/tollhouse_budgets/switch/add/?scope=feature&value={feature}"),
    Page("switch-lift", "Lifting a switch", "/admin/tollhouse_budgets/switch/lift/?id={switch}"),
    Page("switch-rule", "A switch rule", "/admin/tollhouse_budgets/switchtrigger/{trigger}/change/"),
    Page("switch-rule-now", "What a switch rule measures", "/admin/tollhouse_budgets/switchtrigger/{trigger}/now/", shown=False),
    Page("alerts", "Alerts", "/admin/tollhouse_budgets/alert/"),
    Page("alert", "An alert", "/admin/tollhouse_budgets/alert/{alert}/change/"),
    Page("channels", "Channels", "/admin/tollhouse_budgets/channel/"),
    Page("prompt-version", "A prompt version and its differences", "/admin/tollhouse_gateway/promptversion/{version}/change/"),
    Page("deployment", "A deployment", "/admin/tollhouse_gateway/deployment/{deployment}/change/"),
    Page("playground", "The playground", "/admin/tollhouse_gateway/promptversion/playground/?version={version}"),
    Page("redaction", "A redaction policy", "/admin/tollhouse_redaction/redactionpolicy/{policy}/change/"),
    Page("redaction-try", "A redaction policy, tried out", "/admin/tollhouse_redaction/redactionpolicy/{policy}/try/", _try_out),
    Page("audit", "The audit log", "/admin/tollhouse_gateway/auditentry/"),
    Page("compliance", "The compliance report", "/admin/tollhouse_gateway/auditentry/compliance/"),
    Page("legal-hold-lift", "Lifting a legal hold", "/admin/tollhouse_gateway/legalhold/{hold}/lift/", shown=False),
    Page("keys", "API keys", "/admin/tollhouse_gateway/key/"),
    Page("key", "An API key", "/admin/tollhouse_gateway/key/{key}/change/"),
    Page("key-rotate", "Rotating a key", "/admin/tollhouse_gateway/key/{key}/rotate/", shown=False),
    Page("features", "Features", "/admin/tollhouse_gateway/feature/"),
    Page("feature", "A feature", "/admin/tollhouse_gateway/feature/{feature_id}/change/"),
    Page("prices", "Prices", "/admin/tollhouse_gateway/price/?q=gpt-4o-mini"),
    Page("price-add", "A new price", "/admin/tollhouse_gateway/price/add/", shown=False),
    Page("password", "Changing the password", "/admin/password_change/", shown=False),
)  # fmt: skip
#: Seen by somebody who is not logged in.
LOGIN = Page("login", "Login", "/admin/login/")
#: Lists that stand above among the others, or that are pages of our own.
NAMED = {"call", "switch", "alert", "channel", "auditentry", "key", "feature", "price", "datasetitem"}


def rest() -> list[Page]:
    """The other lists, and the page of the first row of each of them."""
    found = []
    for model in sorted(admin.site._registry, key=lambda model: model._meta.label_lower):
        name, where = model._meta.model_name or "", f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        if name in NAMED:
            continue
        found.append(Page(f"list-{name}", str(model._meta.verbose_name_plural), where, shown=False))
        if row := model._default_manager.order_by("-pk").first():
            found.append(Page(f"row-{name}", str(model._meta.verbose_name), _change(row), shown=False))
    return found


def places() -> dict[str, Any]:
    """What the addresses are of, in a product that is furnished."""
    session = list(Call.objects.filter(session_id=SESSION).order_by("id"))
    version = PromptVersion.objects.get(address=session[0].prompt_version)
    return {
        "feature": FEATURE, "feature_id": version.prompt.feature_id, "call": session[-1].id,
        "agent": Call.objects.filter(trace_id__gt="", parent=None).latest("id").id,
        "before": Call.objects.filter(feature=FEATURE, user_ref=session[0].user_ref).exclude(
            prompt_version=version.address).latest("id").id,
        "session": urlencode({"id": SESSION, "tenant": TENANT}), "dataset": Dataset.objects.get().pk,
        "item": DatasetItem.objects.latest("pk").pk, "budget": Budget.objects.get(feature="sales.research").pk,
        "switch": Switch.objects.in_force().latest("pk").pk, "trigger": SwitchTrigger.objects.get().pk,
        "alert": Alert.objects.get(deliveries__channel__name="finance").pk, "version": version.pk,
        "deployment": Deployment.objects.get(prompt=version.prompt).pk, "policy": RedactionPolicy.objects.get(name="default").pk,
        "hold": LegalHold.objects.get().pk, "key": Key.objects.get(name="helpdesk").pk,
    }  # fmt: skip


def _change(row: Model) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])

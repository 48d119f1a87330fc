"""Who may see what: every page of the admin as every role, and as somebody who is limited to a tenant."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.contrib.messages.storage.cookie import CookieStorage
from django.core.exceptions import PermissionDenied
from django.urls import resolve

from dashboards.pages.registry import PAGES
from gateway.access import OWNED, ROWS, SHARED
from tests.gateway.admin.roles.tenant_rows import OWN
from tests.gateway.admin.test_security import ALL, OPEN

pytestmark = pytest.mark.django_db

LETTERS = {
    "V": "viewer",
    "F": "finance",
    "P": "prompt author",
    "B": "budget owner",
    "R": "reviewer",
    "A": "auditor",
    "X": "admin",
}
LOOK = "V P B R A X".replace(" ", "")
#: Who may see the pages of a model; a new model is put in here, and in `gateway.roles` where others than A and X see it.
SEES = {
    "call": "VFPBRAX", "callsum": "VFPBRAX", "feature": "VFPBRAX", "price": "VFPBRAX", "adjustment": "VFPBRAX",
    "budget": "VFPBRAX", "window": "VFPBRAX", "budgetraise": "VFPBRAX", "rate": "VFPBRAX", "alert": "VFPBRAX",
    "route": LOOK, "provider": LOOK, "promptversion": LOOK, "deployment": LOOK, "hold": LOOK, "owner": LOOK, "worker": LOOK,
    "retentionkind": LOOK, "retentionrule": LOOK, "ratelimit": LOOK, "bucket": LOOK, "switch": LOOK, "switchtrigger": LOOK,
    "delivery": LOOK, "redactionpolicy": LOOK,
    "digest": "FBAX", "export": "FAX", "bill": "FAX", "billline": "FAX", "channel": "BAX", "alertroute": "BAX",
    "dataset": "PRAX", "datasetitem": "PRAX", "rollupstate": "AX",
    "key": "AX", "auditentry": "AX", "legalhold": "AX", "redactionlist": "AX", "tenantlimit": "AX", "user": "AX", "group": "AX",
}  # fmt: skip
ADDS = {
    "digest": "FBX",
    "rate": "FX",
    "budget": "BX",
    "ratelimit": "BX",
    "switchtrigger": "BX",
    "switch": "BX",
    "dataset": "PRX",
}
DELETES = {"digest": "", "budget": "BX", "ratelimit": "BX", "switchtrigger": "BX"}
#: Of these, nobody adds one or deletes one on a page.
NEVER_ADDED = {
    "call", "callsum", "adjustment", "window", "budgetraise", "alert", "promptversion", "deployment", "hold", "owner", "worker",
    "retentionkind", "bucket", "delivery", "bill", "billline", "auditentry", "datasetitem", "rollupstate", "export",
}  # fmt: skip
NEVER_DELETED = (NEVER_ADDED - {"datasetitem"}) | {"rate", "price", "switch", "channel", "key", "legalhold"}
#: Pages of our own, by the name of their address.
OTHERS = {
    "tollhouse_gateway_feature_spend": "VFPBRAX",
    "tollhouse_gateway_promptversion_playground": LOOK,
    "tollhouse_gateway_key_rotate": "X",
    "tollhouse_gateway_legalhold_lift": "X",
    "tollhouse_gateway_call_person": "X",
    "tollhouse_gateway_call_session": "VFPBRAX",
    "tollhouse_gateway_call_suggest": "VFPBRAX",
    "tollhouse_gateway_call_compare": "VFPBRAX",
    "tollhouse_gateway_dataset_export": "X",
    "tollhouse_gateway_auditentry_compliance": "AX",
    "tollhouse_redaction_redactionpolicy_try": "X",
    "tollhouse_budgets_budget_raise": "BX",
    "tollhouse_budgets_switch_lift": "BX",
    "tollhouse_budgets_switchtrigger_now": LOOK,
    "tollhouse_gateway_call_export": "FAX",
    "tollhouse_gateway_export_progress": "FAX",
    "auth_user_password_change": "X",
}
#: Lists whose rows go out to files and come in from them. Both are for all tenants, so nobody who is limited does it.
FILES_OUT = {
    "alertroute": "BAX", "budget": "FBAX", "feature": "FBAX", "price": "FBAX", "rate": "FBAX", "ratelimit": "BAX",
    "redactionlist": "AX", "retentionrule": "BAX", "switchtrigger": "BAX",
}  # fmt: skip
FILES_IN = {**dict.fromkeys(FILES_OUT, "X"), "rate": "FX", "budget": "BX", "ratelimit": "BX", "switchtrigger": "BX"}
OTHERS |= {
    f"{model._meta.app_label}_{model._meta.model_name}_{page}": table[model._meta.model_name]
    for model in admin.site._registry
    for page, table in (("export", FILES_OUT), ("import", FILES_IN))
    if model._meta.model_name in table
}
#: The dashboards' pages, and their charts, by the page's name; the other addresses of theirs are only posted to.
DASHBOARDS = {"spend": "VFPBRAX", "reliability": "VFPBRAX", "budgets": "VFPBRAX", "prompts": LOOK, "privacy": LOOK}
#: Pages that answer a form alone: a request for them is refused, whoever asks.
POSTED = {
    "tollhouse_gateway_call_replay",
    "tollhouse_gateway_call_keep",
    "tollhouse_gateway_call_score",
    "tollhouse_gateway_export_download",
    "tollhouse_gateway_export_cancel",
    "dashboard_save",
    "dashboard_delete",
}
#: Exports of rows of all tenants.
ALL_TENANTS = {name for name in OTHERS if name.endswith("_export")} - {"tollhouse_gateway_call_export"}
#: Of no model: everybody's, or a list that shows what may be seen, or what answers an address that fits nothing.
ANYBODY = {"index", "password_change", "password_change_done", "view_on_site", "autocomplete", "app_list", ""}
#: What a limited user sees of one that `X` sees.
LIMITED = {model._meta.model_name for model in (*ROWS, *SHARED)}
#: Of these a person has rows of its own; the one of this test is nobody's.
PERSONAL = {model._meta.model_name for model in OWNED}


def status(rf, user, path):
    """What a page answers, without drawing it."""
    request = rf.get(path)
    request.user, request._messages = user, CookieStorage(request)
    try:
        match = resolve(path.partition("?")[0])
        return match.func(request, *match.args, **match.kwargs).status_code
    except PermissionDenied:
        return 403


def pages(rows):
    """Every address of the admin with the row that it is about, as (name, path, model, page)."""
    of = {f"{m._meta.app_label}_{m._meta.model_name}": m._meta.model_name for m in admin.site._registry}
    for path, name in ALL:
        prefix, _, page = name.rpartition("_")
        while page and prefix not in of and "_" in prefix:
            prefix, _, more = prefix.rpartition("_")
            page = f"{more}_{page}"
        if name in ("dashboard", "dashboard_data"):
            continue
        model = of.get(prefix, "")
        pk = "f" if page == "spend" else rows[model].pk if model else "1"
        query = f"?id=s-{OWN}&tenant={OWN}" if page == "session" else ""
        yield name, path.replace("/1/", f"/{pk}/") + query, model, page
    for dashboard in PAGES.values():
        yield "dashboard", dashboard.url, "", dashboard.name
        for chart in dashboard.charts:
            yield "dashboard_data", f"{dashboard.url}data/{chart}/?window={rows['window'].pk}", "", dashboard.name


def test_every_page_is_for_whom_the_table_says(rf, groups, person, everything):
    everything.rows["user"] = User.objects.create_user("somebody")
    people = {letter: person(role) for letter, role in LETTERS.items()}
    people["L"] = person("admin", OWN)
    wrong = []
    for name, path, model, page in pages(everything.rows):
        if name in OPEN | ANYBODY:
            continue
        known = model or name in OTHERS or name in POSTED or page in DASHBOARDS
        assert known, f"{name} is in no table of this test: say there who may see it."
        if name in POSTED:
            wanted = ""
        elif not model and page in DASHBOARDS:
            wanted = DASHBOARDS[page] + "L"
        elif page in ("changelist", "change", "history"):
            assert model in SEES, f"{model} is in no table of this test: say there who may see it."
            wanted = SEES[model] + ("L" if model in LIMITED else "")
        elif page == "add":
            wanted = "" if model in NEVER_ADDED else ADDS.get(model, "X")
        elif page == "delete":
            wanted = "" if model in NEVER_DELETED else DELETES.get(model, "X")
        else:
            assert name in OTHERS, f"{name} is in no table of this test: say there who may see it."
            wanted = OTHERS[name] + (
                "L" if model in LIMITED and page not in ("person", "try", "import") and name not in ALL_TENANTS else ""
            )
        if (
            page in ("add", "delete")
            and "X" in wanted
            and model in LIMITED
            and model not in {m._meta.model_name for m in SHARED}
        ):
            wanted += "L"
        wanted += "L" if model in PERSONAL and page in ("changelist", "add") else ""
        # Where several may see a page, the first and the limited one do it for all: a page that is drawn takes time.
        asked = {
            letter: user for letter, user in people.items() if letter in (*wanted[:1], "L") or letter not in wanted
        }
        seen = "".join(letter for letter, user in asked.items() if status(rf, user, path) == 200)
        wanted = "".join(letter for letter in wanted if letter in asked)
        if sorted(seen) != sorted(wanted):
            wrong.append((name, seen, wanted))
    assert wrong == []

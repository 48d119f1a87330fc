"""Files in the browser: calls with a choice of columns, at once and in the background; configuration after a preview."""

import csv
from decimal import Decimal

from budgets.models import Budget
from gateway.explorer.background import make_waiting
from gateway.models import Export
from tests.rows import make_call
from tests.world import World


def downloaded(visitor, button, path):
    with visitor.page.expect_download() as found:
        visitor.page.click(button)
    found.value.save_as(path)
    return path.read_text().splitlines()


def test_files_of_calls_and_of_budgets(visitor, tmp_path):
    calls = [make_call(tenant="acme", cost_usd=Decimal(n)) for n in range(3)]
    visitor.open("/admin/tollhouse_gateway/call/?q=tenant:acme&since=7d", "calls-to-export")
    page = visitor.page
    visitor.go(".th-head >> text=Export")
    visitor.look("call-export")
    page.click("[data-choose=none]")
    assert page.inner_text(".th-choose [role=status]").startswith("0 of")
    page.check("input[value=tenant]")
    page.check("input[value=cost_usd]")
    assert downloaded(visitor, "button:text-is('Export')", tmp_path / "now.csv")[0] == "tenant,cost_usd"
    page.check("input[value=later-csv]")
    page.click("[data-choose=all]")
    visitor.go("button:text-is('Export')")
    page.wait_for_selector("[data-progress]")
    visitor.look("export-waiting")
    Export.objects.update(state="running", share=0.4, rows=1200)
    page.wait_for_selector("text=1,200 of about 3,000 calls")
    assert page.eval_on_selector("progress", "bar => bar.value") == 0.4
    visitor.look("export-running")
    Export.objects.update(state="waiting", share=0, rows=0)
    make_waiting()
    page.wait_for_selector("text=Download CSV")
    visitor.look("export-ready")
    lines = downloaded(visitor, "text=Download CSV", tmp_path / "later.csv")
    assert [line.split(",")[0] for line in lines[1:]] == [str(call.id) for call in calls]
    visitor.open("/admin/tollhouse_gateway/export/", "exports")

    World("http://127.0.0.1:9/v1").feature("support.reply")
    Budget.objects.create(feature="support.reply", limit=25)
    Budget.objects.create(limit=100, period="month")
    visitor.open("/admin/tollhouse_budgets/budget/", "budgets-with-files")
    visitor.go(".object-tools >> text=Export")
    visitor.look("budgets-export")
    lines = downloaded(visitor, "button:text-is('Export')", tmp_path / "budgets.csv")
    rows = list(csv.DictReader(lines))
    changed, new = {**rows[0], "limit": "40"}, {**rows[0], "tenant": "acme", "limit": "5", "soft_percent": "50,90"}
    wrong = {**rows[0], "feature": "nothing", "tenant": "umbrella", "limit": "much"}

    def choose(name, *rows):
        with open(tmp_path / name, "w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        page.set_input_files("input[type=file]", tmp_path / name)
        visitor.go("text=Look at the differences")

    visitor.open("/admin/tollhouse_budgets/budget/import/", "budgets-import")
    choose("wrong.csv", changed, wrong)
    assert "Nothing was imported" in page.inner_text("[role=alert]")
    visitor.look("budgets-import-problems")
    visitor.go("text=Choose a file")
    choose("good.csv", changed, new, rows[1])
    assert "1 new, 1 changed, 1 as it is" in page.inner_text(".th-about")
    visitor.look("budgets-import-preview")
    page.fill("input[name=reason]", "the new quarter")
    visitor.go("text=Import 2 rows")
    page.wait_for_selector(".messagelist")
    visitor.look("budgets-imported")
    assert sorted(Budget.objects.values_list("limit", flat=True)) == [5, 25, 40]

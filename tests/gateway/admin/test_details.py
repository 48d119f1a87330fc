"""Details of alerts and audit entries, as lists that a person reads."""

import re

from gateway.admin.details import as_list


def lines(detail, **options):
    """Name and text of each line, links and inner lists with their marks."""
    return re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", as_list(detail, **options))


def test_an_alert_s_detail_is_in_order_with_units_and_links():
    detail = {
        "held": "0.25", "limit": "25", "spent": "20.5", "value": "", "budget": 3, "metric": "usd", "percent": 80, "on_hard": "block",
        "ends_at": "2026-11-23T00:00:00+00:00",
    }  # fmt: skip
    assert lines(detail) == [
        ("Budget", '<a href="/admin/tollhouse_budgets/budget/3/change/">budget 3</a>'), ("Spent", "$20.50"), ("Held", "$0.25"),
        ("Limit", "$25.00"), ("Threshold", "80%"), ("Until", "23 Nov 2026, 00:00"), ("When it is full", "block"),
    ]  # fmt: skip


def test_evidence_is_whole_and_changes_read_from_old_to_new():
    detail = {
        "changes": {"limit": ["10", "20"], "active": [True, False], "api_key": "(hidden)", "note": [None, ""]},
        "rows": [],
    }
    assert "<dt>Limit</dt><dd>10 → 20</dd><dt>Active</dt><dd>yes → no</dd>" in as_list(detail, whole=True)
    assert "<dt>Api key</dt><dd>(hidden)</dd><dt>Note</dt><dd>– → –</dd>" in as_list(detail, whole=True)
    assert as_list(detail, whole=True).endswith("<dt>Rows</dt><dd>–</dd></dl>")


def test_whatever_stands_there_is_text():
    assert lines({"<b>": "<script>", "spent": "no number", "metric": "usd", "at": "Ten o'clock"}) == [
        ("Spent", "no number"), ("&lt;b&gt;", "&lt;script&gt;"), ("At", "Ten o&#x27;clock"),
    ]  # fmt: skip
    assert as_list({}) == as_list(None) == "–"
    assert as_list(["a", {"b": [1, 2]}]) == "a, B: 1, 2"

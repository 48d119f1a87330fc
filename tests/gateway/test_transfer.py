"""Cells of files: nothing that a spreadsheet runs, nothing lost."""

from datetime import UTC, datetime, time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.transfer.cells import cell, guarded, plain, unguarded


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"])))
def test_a_guarded_text_is_no_formula_and_comes_back(text):
    shown = guarded(text)
    assert not shown.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert unguarded(shown) == text.replace("\ufffe", "\ufffd").replace("\uffff", "\ufffd")


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\t=1", "\r=1", "'=1", "''=1"])
def test_what_spreadsheets_run_is_guarded(text):
    assert guarded(text) == f"'{text}" and unguarded(guarded(text)) == text
    assert cell(text, "csv") == cell(text, "xlsx") == f"'{text}" and cell(text, "json") == text


@pytest.mark.parametrize(
    ("value", "csv", "xlsx", "json"),
    [
        (Decimal("0.100000000"), "0.1", 0.1, "0.1"),
        (Decimal("-12.50"), "-12.5", -12.5, "-12.5"),
        (Decimal("123456789012345678.123456789"), *["123456789012345678.123456789"] * 3),
        (True, "true", True, True),
        (None, None, None, None),
        ({"a": "=b"}, '{"a":"=b"}', '{"a":"=b"}', {"a": "=b"}),
        (datetime(2026, 1, 2, 3, 4, 5, 6000, UTC), "2026-01-02T03:04:05.006000Z", datetime(2026, 1, 2, 3, 4, 5, 6000),
         "2026-01-02T03:04:05.006000Z"),
        (datetime(2026, 1, 2, 3, 4, 5, 6, UTC), *["2026-01-02T03:04:05.000006Z"] * 3),
        ("a\x0bb", "a\ufffdb", "a\ufffdb", "a\x0bb"),
    ],
)  # fmt: skip
def test_values_are_exact_in_each_format(value, csv, xlsx, json):
    assert (cell(value, "csv"), cell(value, "xlsx"), cell(value, "json")) == (csv, xlsx, json)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (True, "true"), (80.0, "80"), (0.1, "0.1"), (1e-9, "0.000000001"), (datetime(2026, 1, 2), "2026-01-02"),
     (time(22), "22:00:00"), (" a ", "a"), (["a"], '["a"]')],
)  # fmt: skip
def test_cells_are_read_as_a_person_would_type_them(value, text):
    assert plain(value) == text

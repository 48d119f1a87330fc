"""What a value looks like in a cell of a file, so that no spreadsheet runs it and nothing of it is lost."""

import re
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import orjson

#: Spreadsheets take a text that begins so for a formula. One that was guarded already is guarded again, so that
#: taking the guard off gives back what was there.
FORMULA = re.compile(r"'*[=+@\t\r-]")
#: What XML, and so a spreadsheet's file, cannot have.
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def cell(value: Any, format: str) -> Any:
    """A value as a file of this format (`csv`, `xlsx`, `json`) has it. Times are in UTC, amounts exact."""
    if value is None or isinstance(value, bool | int | float):
        return _flag(value) if isinstance(value, bool) and format == "csv" else value
    if isinstance(value, Decimal):
        return _amount(value, format)
    if isinstance(value, datetime):
        return _moment(value, format)
    if isinstance(value, dict | list) and format == "json":
        return value
    text = orjson.dumps(value).decode() if isinstance(value, dict | list) else str(value)
    return text if format == "json" else guarded(text)


def guarded(text: str) -> str:
    """A text that no spreadsheet takes for a formula: one that it would has a `'` in front."""
    return CONTROL.sub("\ufffd", f"'{text}" if FORMULA.match(text) else text)


def unguarded(text: str) -> str:
    """The text that was guarded."""
    return text[1:] if text.startswith("'") and FORMULA.match(text, 1) else text


def plain(value: Any) -> str:
    """A cell's value as a person would type it into a form."""
    match value:
        case None:
            return ""
        case bool():
            return _flag(value)
        case float() if value.is_integer():
            return str(int(value))
        case Decimal() | float():
            return f"{Decimal(str(value)):f}"
        case datetime() if value.tzinfo is None and value.time() == time():
            return value.date().isoformat()  # a day, as spreadsheets hold it
        case datetime() | date() | time():
            return value.isoformat()
        case dict() | list():
            return orjson.dumps(value).decode()
    return str(value).strip()


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _amount(value: Decimal, format: str) -> Any:
    text = f"{value.normalize():f}"
    if format != "xlsx":
        return text
    # A number, which can be added up, where a spreadsheet's is exact.
    number = float(value)
    return number if Decimal(repr(number)) == value else text


def _moment(value: datetime, format: str) -> Any:
    at = value.astimezone(UTC)
    # A workbook's times have milliseconds, and no zone.
    native = format == "xlsx" and at.microsecond % 1000 == 0
    return at.replace(tzinfo=None) if native else at.isoformat().replace("+00:00", "Z")

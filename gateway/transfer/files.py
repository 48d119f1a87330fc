"""Files that people bring: read without trusting them, before the library sees any of it."""

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gateway.transfer.cells import unguarded

TITLES = {"csv": "CSV", "xlsx": "Excel (XLSX)", "json": "JSON"}
#: Bounds of a file that is read; of a packed one, also unpacked.
MOST_BYTES, MOST_UNPACKED = 1_000_000, 20_000_000
MOST_ROWS, MOST_COLUMNS, MOST_CHARACTERS = 1_000, 100, 50_000

#: What JSON may write in a text, and neither UTF-8 nor the database takes: halves of a pair of UTF-16, and NUL.
NO_TEXT = frozenset({"\x00", *map(chr, range(0xD800, 0xE000))})


class Unreadable(Exception):
    """The file cannot be read; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """The rows of a file, and for each the number that people know it by: a spreadsheet's, whose headers are row 1."""

    headers: list[str]
    rows: list[list[Any]]
    numbers: list[int]


def read(content: bytes, name: str) -> Sheet:
    """The rows of a file; its name says which format it has. Raises Unreadable."""
    format = name.rpartition(".")[2].lower()
    if format not in READERS:
        raise Unreadable(f"“{name[:100]}” is no file that can be read; it has to end in .csv, .xlsx or .json.")
    if len(content) > MOST_BYTES:
        raise Unreadable(f"The file has more than {MOST_BYTES // 1_000_000} MB; split it.")
    headers, rows = READERS[format](content)
    headers = [str(header or "").strip() for header in headers]
    if not any(headers):
        raise Unreadable("The first row has to name the columns; it is empty.")
    if "" in headers:
        raise Unreadable(f"Column {headers.index('') + 1} has no name in the first row; name it, or delete the column.")
    if double := {header for header in headers if headers.count(header) > 1}:
        raise Unreadable(f"The column {min(double)} is there twice.")
    first = 1 if format == "json" else 2
    kept = [(number, row) for number, row in enumerate(rows, first) if any(value not in (None, "") for value in row)]
    if len(kept) > MOST_ROWS:
        raise Unreadable(f"The file has more than {MOST_ROWS:,} rows; split it.")
    if not kept:
        raise Unreadable("The file has no row under its headers.")
    whole = [_whole(number, row, headers) for number, row in kept]
    if format != "json":
        whole = [[unguarded(value) if isinstance(value, str) else value for value in row] for row in whole]
    return Sheet(headers, whole, [number for number, _ in kept])


def _whole(number: int, row: list[Any], headers: list[str]) -> list[Any]:
    if len(row) > len(headers):
        raise Unreadable(f"Row {number} has {len(row)} cells, and there are {len(headers)} columns.")
    for header, value in zip(headers, row, strict=False):
        if any(len(text) > MOST_CHARACTERS or not NO_TEXT.isdisjoint(text) for text in _texts(value)):
            raise Unreadable(
                f"Row {number}, column {header}: the text is too long, or has characters that no text has."
            )
    return [*row, *[None] * (len(headers) - len(row))]


def _texts(value: Any) -> Iterator[str]:
    """The texts of a value, which JSON may have nested."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for one in (*value, *value.values()) if isinstance(value, dict) else value:
            yield from _texts(one)


Rows = tuple[list[Any], list[list[Any]]]


def _csv(content: bytes) -> Rows:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unreadable("The file is not in UTF-8; save it as “CSV UTF-8”.") from None
    # Spreadsheets put a semicolon between the cells in many countries.
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise Unreadable(f"The file is no CSV: {error}.") from None
    return (rows[0], rows[1:]) if rows else ([], [])


def _xlsx(content: bytes) -> Rows:
    # It takes a while to import, and few need it.
    from openpyxl import load_workbook  # type: ignore[import-untyped]

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            if sum(part.file_size for part in packed.infolist()) > MOST_UNPACKED:
                raise Unreadable(f"The file has more than {MOST_UNPACKED // 1_000_000} MB unpacked; split it.")
        book = load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        # A sheet may say that it is as large as a sheet can be.
        found = book.worksheets[0].iter_rows(max_row=MOST_ROWS + 2, max_col=MOST_COLUMNS, values_only=True)
        rows = [list(row) for row in found]
    except Unreadable:
        raise
    except Exception as error:  # noqa: BLE001 (a file that is broken breaks its reader in many ways)
        raise Unreadable(f"The file is no workbook that can be read ({type(error).__name__}).") from None
    width = max((at + 1 for row in rows for at, value in enumerate(row) if value is not None), default=0)
    return (rows[0][:width], [row[:width] for row in rows[1:]]) if rows else ([], [])


def _json(content: bytes) -> Rows:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"The file is no JSON: {error}.") from None
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise Unreadable("The file has to be a list of objects, one for each row.")
    headers = list(found[0]) if found else []
    for number, entry in enumerate(found, 1):
        if entry.keys() != found[0].keys():
            odd = min(entry.keys() ^ found[0].keys())
            raise Unreadable(f"Row {number}: {odd[:60]!r} is in some objects only; give all of them the same names.")
    return headers, [[entry[header] for header in headers] for entry in found]


READERS = {"csv": _csv, "xlsx": _xlsx, "json": _json}

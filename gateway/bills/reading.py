"""Export files, whatever their form, as entries; one at a time, so that a big file needs little memory."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from gateway.bills import anthropic, openai, plain
from gateway.bills.entries import BillError, Entry

#: A JSON document is parsed as a whole; pages of a month are far smaller. Files with a page a line may be of any size.
MOST_DOCUMENT_BYTES = 64 * 2**20
#: What a CSV file is, by columns that it must have; the first that fits.
CSV: tuple[tuple[str, frozenset[str], Callable[[Mapping[str, Any]], Entry | None]], ...] = (
    ("OpenAI costs (CSV)", openai.COST_COLUMNS, openai.of_cost_row),
    ("OpenAI usage (CSV)", openai.USAGE_COLUMNS, openai.of_usage_row),
    ("Anthropic usage (CSV)", anthropic.USAGE_COLUMNS, anthropic.of_usage_row),
    ("Anthropic cost (CSV)", anthropic.COST_COLUMNS, anthropic.of_cost_row),
    ("plain CSV", plain.COLUMNS, plain.of_row),
)
KNOWN = (
    "JSON pages of OpenAI's usage or costs endpoints or of Anthropic's usage or cost reports, the CSV exports of their "
    "consoles, or a CSV file with the columns date, model and cost_usd or input_tokens"
)


def entries(path: Path) -> Iterator[tuple[str, Entry]]:
    """What the file is, in words, with each of its entries. Raises BillError, with the place in the file."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.read(1)
            while first and first.isspace():
                first = file.read(1)
            file.seek(0)
            yield from _json(path, file) if first in ("{", "[") else _csv(path, file)
    except OSError as error:
        raise BillError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise BillError(f"{path} is no text in UTF-8. Known are {KNOWN}.") from None


def _csv(path: Path, file: Any) -> Iterator[tuple[str, Entry]]:
    reader = csv.DictReader(file, strict=True)
    try:
        names = {(name or "").strip() for name in reader.fieldnames or ()}
        found = next(((what, parse) for what, needed, parse in CSV if needed <= names), None)
        if found is None or (found[0] == "plain CSV" and not names & {"cost_usd", "input_tokens"}):
            raise BillError(f"{path}, line 1: these columns are of no export that is known. Known are {KNOWN}.")
        what, parse = found
        for row in reader:
            if None in row or None in row.values():
                raise BillError(f"{path}, line {reader.line_num}: it has more or fewer columns than the first line.")
            try:
                entry = parse({name.strip(): value for name, value in row.items()})
            except ValueError as error:
                raise BillError(f"{path}, line {reader.line_num}: {error}.") from None
            if entry:
                yield what, entry
    except csv.Error as error:
        raise BillError(f"{path}, line {reader.line_num}: {error}. Is it a CSV file, with commas?") from None


def _json(path: Path, file: Any) -> Iterator[tuple[str, Entry]]:
    last: Mapping[str, Any] = {}
    for place, page in _pages(path, file):
        if not isinstance(page, Mapping) or not isinstance(page.get("data"), list):
            raise BillError(f'{path}, {place}: a page has its buckets under "data". Known are {KNOWN}.')
        last = page
        for number, bucket in enumerate(page["data"], 1):
            yield from _bucket(f"{path}, {place}, bucket {number}", bucket)
    if last.get("has_more"):
        raise BillError(
            f"{path} ends before its last page: fetch the page {last.get('next_page')!r} too, and append it as a line."
        )


def _bucket(place: str, bucket: Any) -> Iterator[tuple[str, Entry]]:
    if not isinstance(bucket, Mapping) or not isinstance(bucket.get("results"), list):
        raise BillError(f'{place}: a bucket has its "results". Known are {KNOWN}.')
    if "start_time" in bucket:
        vendor, parse = "OpenAI", openai.of_bucket
    elif "starting_at" in bucket:
        vendor, parse = "Anthropic", anthropic.of_bucket
    else:
        raise BillError(f'{place}: a bucket begins at "start_time" (OpenAI) or "starting_at" (Anthropic).')
    for number, result in enumerate(bucket["results"], 1):
        try:
            if not isinstance(result, Mapping):
                raise ValueError("a result is an object")
            entry = parse(bucket, result)
        except (ValueError, TypeError) as error:
            raise BillError(f"{place}, result {number}: {error}.") from None
        if entry:
            yield f"{vendor} {'usage' if entry.usd is None else 'costs'} (JSON)", entry


def _pages(path: Path, file: Any) -> Iterator[tuple[str, Any]]:
    """The pages of a file with one on each line, with one in all, or with a list of them."""
    line = file.readline(MOST_DOCUMENT_BYTES)
    try:
        first = _parse(line)
    except json.JSONDecodeError:
        file.seek(0)
        document = file.read(MOST_DOCUMENT_BYTES + 1)
        if len(document) > MOST_DOCUMENT_BYTES:
            raise BillError(
                f"{path} is larger than {MOST_DOCUMENT_BYTES // 2**20} MiB; write one page a line, or export fewer days."
            ) from None
        try:
            first = _parse(document)
        except json.JSONDecodeError as error:
            raise BillError(f"{path}, line {error.lineno}: it is no JSON ({error.msg}).") from None
    if isinstance(first, list):
        yield from ((f"page {number}", page) for number, page in enumerate(first, 1))
        return
    yield "page 1", first
    for number, line in enumerate(file, 2):
        if line.strip():
            try:
                yield f"line {number}", _parse(line)
            except json.JSONDecodeError as error:
                raise BillError(f"{path}, line {number}: it is no JSON ({error.msg}).") from None


def _parse(text: str) -> Any:
    """Numbers with decimals become exact ones; what is no number (NaN) is refused where it is used.

    Raises json.JSONDecodeError, also for numbers and nestings that are too long to be meant.
    """
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=str)
    except json.JSONDecodeError:
        raise
    except (ValueError, RecursionError) as error:
        raise json.JSONDecodeError(f"{type(error).__name__}: too long or too deep", text, 0) from None

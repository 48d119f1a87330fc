"""`manage.py calls export`: rows of calls as CSV or Parquet, streamed, for millions of them."""

import getpass
import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from gateway.explorer.export import COLUMNS, copy, progress, write_parquet
from gateway.explorer.query import Problem, Query, moment, parse
from gateway.explorer.search import Range
from gateway.models import AuditEntry, Call
from gateway.models.calls import uuid7_time

BAR = 30
#: Rows between two looks at the progress.
EVERY = 5000


class Command(BaseCommand):
    help = "Calls: export their rows. What they said is no part of it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        export = verbs.add_parser("export", help="Write the rows that a query finds, oldest first.")
        export.add_argument(
            "--output", required=True, metavar="FILE", help="A file that is made or replaced; - for CSV on stdout."
        )
        export.add_argument(
            "--format", choices=["csv", "parquet"], default="csv", help="Parquet needs tollhouse[parquet]."
        )
        export.add_argument(
            "--query", default="", help="As in the list of calls, e.g. 'feature:support.* -outcome:ok'."
        )
        export.add_argument("--since", default="", help="A day, a moment, or 7d; from the oldest call on.")
        export.add_argument("--until", default="", help="A day or a moment; until now.")
        export.add_argument("--columns", default="", help="Some of the columns, with commas between them.")
        export.add_argument(
            "--raw", action="store_true", help="CSV: leave texts that a spreadsheet would run as they are."
        )

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        getattr(self, verb)(**options)

    def export(
        self, *, output: str, format: str, query: str, since: str, until: str, columns: str, raw: bool, **options: Any
    ) -> None:
        if format == "parquet" and (output == "-" or find_spec("pyarrow") is None):
            needed = "a file as --output" if output == "-" else "pyarrow: install tollhouse[parquet]"
            raise CommandError(f"Parquet needs {needed}.")
        wanted = _query(query)
        within = _range(wanted, since, until)
        chosen = _columns(columns)
        detail = {"query": query, "since": str(within.since), "until": str(within.until), "columns": list(chosen)}
        AuditEntry.objects.create(
            actor=getpass.getuser(),
            action="call.export",
            subject=f"calls to {output}"[:255],
            detail=detail | {"format": format},
        )
        shown = _Shown(self.stderr, within, chosen)
        pieces = shown.through(copy(wanted, within, chosen, guarded=format == "csv" and not raw))
        if output == "-":
            _write(pieces, sys.stdout.buffer)
        else:
            _replace(Path(output), format, pieces, chosen)
        shown.end()


class _Shown:
    """Tells on a terminal how far an export is; and in the end how much it was."""

    def __init__(self, stderr: Any, within: Range, columns: Sequence[str]) -> None:
        self.stderr, self.within, self.began = stderr, within, timezone.now()
        self.live = stderr.isatty() and columns[0] == "id"
        self.rows, self.size = -1, 0  # the header is no row

    def through(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self.rows += 1
            self.size += len(piece)
            if self.live and self.rows % EVERY == 0 and self.rows:
                share = progress(piece, self.within)
                bar = "█" * round(BAR * share)
                self.stderr.write(f"\r{bar:░<{BAR}} {share:4.0%} {self.rows:,} calls", ending="")
            yield piece

    def end(self) -> None:
        took = (timezone.now() - self.began).total_seconds()
        self.stderr.write(
            f"{'\r' * self.live}{max(self.rows, 0):,} calls, {self.size / 1e6:,.1f} MB of CSV, {took:,.0f} s"
        )


def _query(text: str) -> Query:
    try:
        return parse(text, now=timezone.now())
    except Problem as problem:
        mark = " " * problem.start + "^" * max(1, problem.end - problem.start)
        raise CommandError(f"{problem.message}\n  {text}\n  {mark}") from None


def _range(query: Query, since: str, until: str) -> Range:
    now = timezone.now()
    for name, text in (("since", since), ("until", until)):
        if text and moment(text, now) is None:
            raise CommandError(f"--{name} {text!r} is no time; write 2026-11-01, 2026-11-01T12:30, or 7d.")
    start = query.since or moment(since, now)
    if start is None:
        first = Call.objects.order_by("id").values_list("id", flat=True).first()
        start = uuid7_time(first) if first else now
    return Range(start, max(start, query.until or moment(until, now) or now + timedelta(minutes=5)))


def _columns(text: str) -> Sequence[str]:
    chosen = [name.strip() for name in text.split(",") if name.strip()] or COLUMNS
    if unknown := [name for name in chosen if name not in COLUMNS]:
        raise CommandError(f"There is no column {unknown[0]}; there are: {', '.join(COLUMNS)}.")
    return list(dict.fromkeys(chosen))


def _replace(path: Path, format: str, pieces: Iterator[bytes], columns: Sequence[str]) -> None:
    """Writes beside the file and puts it in place when it is whole, readable by its owner only."""
    part = path.with_name(f"{path.name}.part")
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            if format == "csv":
                _write(pieces, file)
        if format == "parquet":
            write_parquet(pieces, columns, str(part))
        part.replace(path)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror or error}.") from None
    finally:
        part.unlink(missing_ok=True)


def _write(pieces: Iterator[bytes], file: BinaryIO) -> None:
    for piece in pieces:
        file.write(piece)

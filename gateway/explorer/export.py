"""Rows of calls as a stream of CSV, made by the database's COPY: nothing is held in memory, however many there are."""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, BinaryIO
from uuid import UUID

from django.db import connection as database
from django.db import models, transaction
from django.db.models.functions import Coalesce
from psycopg import sql

from gateway.explorer.conditions import conditions
from gateway.explorer.query import Query
from gateway.explorer.search import Range
from gateway.models import Adjustment, Call
from gateway.models.calls import uuid7_time

#: Columns that the table does not have: when the call began, which its id says, and what corrections have added to its cost.
STARTED, ADJUSTED = "started_at", "adjusted_usd"
_OWN = tuple(field.name for field in Call._meta.concrete_fields)
COLUMNS = (
    "id",
    STARTED,
    *(name for field in _OWN[1:] for name in ((field, ADJUSTED) if field == "cost_usd" else (field,))),
)
NOTHING = models.Value(Decimal(0), output_field=Adjustment._meta.get_field("cost_usd"))
#: Spreadsheets take a text that begins so for a formula.
FORMULA = r"^[=+@\t\r-]"
#: Bytes of CSV that become one group of rows of a Parquet file.
BLOCK = 32 << 20


def copy(query: Query, within: Range, columns: Sequence[str] = COLUMNS, *, guarded: bool) -> Iterator[bytes]:
    """CSV of the calls that fit, oldest first, a header and then a row a piece; times are in UTC.

    With `guarded`, a text that a spreadsheet would take for a formula has a `'` in front. Columns are names of `COLUMNS`.
    """
    fitting = Call.objects.filter(
        conditions(query, within.low, within.high), id__gte=within.low, id__lt=within.high
    ).order_by("id")
    return copy_rows(fitting, columns, guarded=guarded)


def copy_rows(
    calls: models.QuerySet[Call], columns: Sequence[str], *, guarded: bool, header: bool = True
) -> Iterator[bytes]:
    """CSV of just these calls, as for `copy`; without its `header` there are only rows."""
    if corrected := ADJUSTED in columns:
        calls = calls.annotate(**{ADJUSTED: _added()})
    inner, parameters = calls.values_list(*_OWN, *([ADJUSTED] if corrected else [])).query.sql_with_params()
    chosen = sql.SQL(", ").join(_column(column, guarded=guarded) for column in columns)
    statement = sql.SQL("COPY (SELECT {} FROM ({}) AS calls) TO STDOUT WITH (FORMAT csv, HEADER {})").format(
        chosen,
        sql.SQL(inner),  # Django's own text, with places for its parameters
        sql.SQL(str(header)),
    )
    with transaction.atomic(), database.cursor() as cursor:
        cursor.execute("SET LOCAL TIME ZONE 'UTC'")
        with cursor.copy(statement.as_string(cursor.connection).encode(), parameters) as pieces:
            for piece in pieces:
                yield bytes(piece)


def _added() -> Coalesce:
    sums = Adjustment.objects.filter(call_id=models.OuterRef("id")).order_by().values("call_id")
    return Coalesce(models.Subquery(sums.annotate(sum=models.Sum("cost_usd")).values("sum")), NOTHING)


def added_to(calls: Iterable[Call]) -> dict[UUID, Decimal]:
    """What corrections have added to the cost of these calls, of those that have any."""
    rows = Adjustment.objects.filter(call_id__in=[call.id for call in calls]).order_by().values("call_id")
    return {row["call_id"]: row["sum"] for row in rows.annotate(sum=models.Sum("cost_usd")) if row["call_id"]}


def progress(row: bytes, within: Range) -> float:
    """How far an export has come, 0 to 1, by a row of it whose first column is the id."""
    try:
        at = uuid7_time(UUID(row[:36].decode()))
    except ValueError:
        return 0.0
    whole = (within.until - within.since).total_seconds()
    return min(1.0, max(0.0, (at - within.since).total_seconds() / whole)) if whole else 1.0


def _column(name: str, *, guarded: bool) -> sql.Composable:
    column = sql.Identifier(name)
    if name == STARTED:
        began = "to_timestamp(('x0000' || left(replace(id::text, '-', ''), 12))::bit(64)::bigint / 1000.0)"
        return sql.SQL(began + " AS {}").format(column)  # no text from outside
    if guarded and name != ADJUSTED and isinstance(Call._meta.get_field(name), models.CharField):
        text = "CASE WHEN {0} ~ {1} THEN '''' || {0} ELSE {0} END AS {0}"
        return sql.SQL(text).format(column, sql.Literal(FORMULA))
    return column


class Parquet:
    """A Parquet file with a type for each column, made of rows of CSV (not guarded). Needs pyarrow: `tollhouse[parquet]`.

    `sink` is a path, or a file that is written to from its begin to its end.
    """

    def __init__(self, sink: str | BinaryIO, columns: Sequence[str]) -> None:
        # An extra, which few need; it takes a while to import.
        import pyarrow as pa  # type: ignore[import-untyped]
        from pyarrow import csv, parquet

        schema = pa.schema([(column, _type(column, pa)) for column in columns])
        self._buffer, self._read = pa.BufferReader, csv.read_csv
        self._options = {
            "read_options": csv.ReadOptions(column_names=list(columns)),
            "parse_options": csv.ParseOptions(newlines_in_values=True),
            "convert_options": csv.ConvertOptions(
                column_types=schema, null_values=[""], strings_can_be_null=False, true_values=["t"], false_values=["f"]
            ),
        }
        self._writer = parquet.ParquetWriter(sink, schema, compression="zstd")

    def add(self, rows: bytes) -> None:
        """Adds whole rows, as a group of their own."""
        # pyarrow would read a stream in threads of its own, which do not have this one's connection.
        self._writer.write_table(self._read(self._buffer(rows), **self._options))

    def close(self) -> None:
        """Writes what stands at the end of the file."""
        self._writer.close()


def write_parquet(pieces: Iterator[bytes], columns: Sequence[str], path: str) -> None:
    """The CSV of `copy` (not guarded) as a Parquet file."""
    next(pieces)  # the header
    file = Parquet(path, columns)
    for block in _blocks(pieces):
        file.add(block)
    file.close()


def _blocks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Whole rows together, as many as make a good group of rows."""
    rows: list[bytes] = []
    size = 0
    for piece in pieces:
        rows.append(piece)
        size += len(piece)
        if size > BLOCK:
            yield b"".join(rows)
            rows, size = [], 0
    if rows:
        yield b"".join(rows)


def _type(column: str, pa: Any) -> Any:
    if column == STARTED:
        return pa.timestamp("ms", tz="UTC")
    match Call._meta.get_field("cost_usd" if column == ADJUSTED else column):
        case models.DecimalField() as field:
            return pa.decimal128(field.max_digits, field.decimal_places)
        case models.BooleanField():
            return pa.bool_()
        case models.FloatField():
            return pa.float64()
        case models.IntegerField():
            return pa.int64()
    return pa.string()

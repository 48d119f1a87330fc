"""Rows of calls as a file that is downloaded at once. As for `writing`, it is imported when it is needed."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from import_export.fields import Field  # type: ignore[import-untyped]
from import_export.resources import ModelResource  # type: ignore[import-untyped]

from gateway.explorer.export import ADJUSTED, COLUMNS, STARTED, added_to
from gateway.models import Call
from gateway.offload import short_turns
from gateway.transfer.cells import cell
from gateway.transfer.writing import written


class CallResource(ModelResource):  # type: ignore[misc]
    """Calls with the columns of their table. What calls said is in another table, and no column of this one."""

    started_at = Field(attribute=STARTED, column_name=STARTED)
    adjusted_usd = Field(attribute=ADJUSTED, column_name=ADJUSTED)

    class Meta:
        model = Call
        fields = COLUMNS
        export_order = COLUMNS

    def __init__(self, columns: Sequence[str], format: str, added: Mapping[UUID, Decimal]) -> None:
        super().__init__()
        self.columns, self.format, self.added = columns, format, added

    def export_resource(self, instance: Call, selected_fields: Any = None, **given: Any) -> list[Any]:
        # The library's own way looks each column up in each row.
        return [cell(self._value(instance, column), self.format) for column in self.columns]

    def _value(self, call: Call, column: str) -> Any:
        return self.added.get(call.id, Decimal(0)) if column == ADJUSTED else getattr(call, column)


def file_of(calls: Sequence[Call], columns: Sequence[str], format: str) -> bytes:
    """The calls, in their order, as a file of that format with these of `COLUMNS`, in the table's order."""
    chosen = [column for column in COLUMNS if column in columns]
    added = added_to(calls) if ADJUSTED in chosen else {}
    with short_turns():
        return written(CallResource(chosen, format, added).export(calls, export_fields=chosen), format)

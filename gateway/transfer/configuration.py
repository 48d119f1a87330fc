"""Rows of configuration as files, and back. A row that comes in goes the way of the admin's own form for it.

So what a file can do is what its bearer can do on a page, with the same checks, messages and entries of the audit log. As for
`writing`, it is imported when it is needed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import DatabaseError, models, transaction
from django.forms.models import ModelChoiceField, ModelMultipleChoiceField, model_to_dict
from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from import_export.fields import Field  # type: ignore[import-untyped]
from import_export.instance_loaders import BaseInstanceLoader  # type: ignore[import-untyped]
from import_export.resources import Resource  # type: ignore[import-untyped]
from import_export.results import Result, RowResult  # type: ignore[import-untyped]
from tablib import Dataset  # type: ignore[import-untyped]

from gateway.transfer.cells import cell, plain
from gateway.transfer.files import Sheet
from gateway.transfer.writing import written

FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False, "": False}
Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong with a row: its number in the file (0: with the file), the column (empty: the row as a whole), and why."""

    row: int
    column: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What an import does for one row of the file: `kind` is `new` or `update`; old (None: none) and new text by column."""

    row: int
    kind: str
    what: str
    values: tuple[tuple[str, str | None, str], ...]


class Moved(Exception):
    """Somebody else has changed a row since the file was looked through."""


class NotSaved(Exception):
    """The database refused a row; `problem` says which."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class FormResource(Resource):  # type: ignore[misc]
    """Rows of the admin's model. One object is for one export or one import."""

    class Meta:
        # Differences are made of what the forms say that changed.
        skip_diff = True
        report_skipped = False
        # Which is never asked: `get_or_init_instance` looks for rows itself.
        instance_loader_class = BaseInstanceLoader

    def __init__(self, page: Any, request: HttpRequest, format: str = "csv") -> None:
        super().__init__()
        self.page, self.request, self.format = page, request, format
        self.blank: Any = page.get_form(request, None, change=False)()
        self.columns = tuple(self.blank.fields)
        self.fields = {name: Field(attribute=name, column_name=name) for name in (*self.columns, *page.told)}
        chosen = {n: f for n, f in self.blank.fields.items() if isinstance(f, ModelChoiceField)}
        self.names = {name: {row.pk: str(row) for row in field.queryset or ()} for name, field in chosen.items()}
        self.seen: dict[tuple[str, ...], int] = {}
        self.changes: list[Change] = []
        self.forms: list[tuple[Any, Change, Row]] = []
        self.numbers: Sequence[int] = ()

    # Out

    def export_resource(self, instance: models.Model, selected_fields: Any = None, **given: Any) -> list[Any]:
        values = model_to_dict(instance, fields=self.columns)
        values |= {name: getattr(instance, name) for name in self.page.told}
        return [cell(self._shown(name, values[name]), self.format) for name in self.fields if name in selected_fields]

    def _shown(self, name: str, value: Any) -> Any:
        """A value as people write it in a cell: names of other rows, one on each line."""
        field = self.blank.fields.get(name)
        if isinstance(field, ModelMultipleChoiceField):
            value = sorted(str(row) for row in value)
        elif isinstance(field, ModelChoiceField):
            return str(value) if isinstance(value, models.Model) else self.names[name].get(value, "")
        if self.format == "json" or not isinstance(value, list | dict):
            return value
        if isinstance(field, forms.MultipleChoiceField | ModelMultipleChoiceField):
            return "\n".join(map(str, value))
        return field.prepare_value(value) if field else value

    # In

    @classmethod
    def get_db_connection_name(cls) -> str:
        return "default"

    def get_import_id_fields(self) -> list[str]:
        return list(self.page.identity)

    def before_import_row(self, row: Row, **given: Any) -> None:
        self.number = self.numbers[given["row_number"] - 1]

    def get_or_init_instance(self, instance_loader: Any, row: Row) -> tuple[models.Model, bool]:
        known = self._identity(row)
        rows = self.page.model._default_manager.filter(**known).order_by("-pk")
        found = list(rows)
        # Asked of the form that adds, as the one that changes has no field for who may not.
        self.unchanged = any(not self._form(type(self.blank), one, row).has_changed() for one in found)
        key = tuple(map(str, known.values()))
        # Of rows that are only added there may be several, if they are there already.
        if (first := self.seen.get(key)) and not (self.page.appended and self.unchanged):
            raise ValidationError(
                f"It is the same one as in row {first}: {', '.join(self.page.identity)} are the same."
            )
        self.seen[key] = self.number
        if not found or (self.page.appended and not self.unchanged):
            return self.page.model(), True
        self.before = _columns(found[0])
        return found[0], False

    def _identity(self, row: Row) -> dict[str, Any]:
        found, errors = {}, {}
        for name in self.page.identity:
            try:
                value = self._given(name, row[name])
                if isinstance(self.blank.fields[name], ModelChoiceField):
                    found[name] = value or None
                elif isinstance(value, datetime):
                    found[name] = value
                else:
                    field = self.page.model._meta.get_field(name)
                    found[name] = field.to_python(value) if value or not field.null else None
            except ValidationError as error:
                errors[name] = error.messages
        if errors:
            raise ValidationError(errors)
        return found

    def import_instance(self, instance: models.Model, row: Row, **given: Any) -> None:
        if self.unchanged:
            return
        self.change = not instance._state.adding
        self._refuse_others(instance)
        kind = self.page.get_form(self.request, instance if self.change else None, change=self.change)
        self.form = self._form(kind, instance, row)
        if not self.form.is_valid():
            raise ValidationError(self.form.errors.as_data())

    def _refuse_others(self, instance: models.Model) -> None:
        if self.change and not self.page.has_change_permission(self.request, instance):
            raise ValidationError(f"You may not change {instance}.")
        if not self.change and not self.page.has_add_permission(self.request):
            raise ValidationError(f"There is no such row, and you may not add {self.page.opts.verbose_name_plural}.")

    def skip_row(self, instance: Any, original: Any, row: Row, import_validation_errors: Any = None) -> bool:
        return self.unchanged

    def validate_instance(
        self, instance: Any, import_validation_errors: Any = None, validate_unique: bool = True
    ) -> None:
        """The form did, when it was asked for what it had cleaned."""
        if import_validation_errors:
            raise ValidationError(import_validation_errors)

    def save_instance(self, instance: Any, is_create: bool, row: Row, **given: Any) -> None:
        kind = RowResult.IMPORT_TYPE_UPDATE if self.change else RowResult.IMPORT_TYPE_NEW
        change = Change(row=self.number, kind=kind, what=str(self.form.instance), values=tuple(self._differences(row)))
        self.changes.append(change)
        self.forms.append((self.form, change, self.before if self.change else {}))

    def save_m2m(self, instance: Any, row: Row, **given: Any) -> None:
        """As for the row itself, `save` does."""

    def save(self) -> None:
        """Saves what was looked through, in the caller's transaction. Raises Moved and NotSaved; nothing may be kept then.

        All that takes its time was done before, without a lock: calls that open a window wait for its budget's row.
        """
        pks = [form.instance.pk for form, _, before in self.forms if before]
        locked = self.page.model._default_manager.select_for_update().filter(pk__in=pks).order_by("pk")
        now = {row.pk: _columns(row) for row in locked}
        for form, change, before in self.forms:
            # A form saves all columns, and would undo what somebody else has done since.
            if before and now.get(form.instance.pk) != before:
                raise Moved
            try:
                with transaction.atomic():
                    made = self.page.save_form(self.request, form, bool(before))
                    self.page.save_model(self.request, made, form, bool(before))
                    self.page.save_related(self.request, form, [], bool(before))
            except DatabaseError as error:
                text = str(error).partition("\n")[0][:300]
                raise NotSaved(
                    Problem(row=change.row, column="", message=f"The database refused it: {text}")
                ) from error
            (self.page.log_change if before else self.page.log_addition)(self.request, made, "Imported.")

    def _differences(self, row: Row) -> Iterator[tuple[str, str | None, str]]:
        for name in self.form.fields:
            new = plain(self._shown(name, self.form.cleaned_data.get(name)))
            if not self.change:
                if new and name in row:
                    yield name, None, new
            elif name in self.form.changed_data:
                initial = self.form.get_initial_for_field(self.form.fields[name], name)
                yield name, plain(self._shown(name, initial)), new

    # From cells to what a browser would send

    def _form(self, kind: Any, instance: models.Model, row: Row) -> Any:
        """The form as a browser would send it for the row: of each field the row's value, or that which it has."""
        form = kind(self._posted(kind(instance=instance), row), instance=instance)
        for field in form.fields.values():
            # Nor is a default carried along, by which a page tells whether it was changed; and a file has all of a time.
            field.show_hidden_initial = False
            field.widget.supports_microseconds = True
        return form

    def _posted(self, form: Any, row: Row) -> Row:
        posted: Row = {}
        errors: dict[str, Any] = {}
        for name, field in form.fields.items():
            try:
                had = form.get_initial_for_field(field, name)
                value = self._given(name, row[name]) if name in row else self._had(field, had)
            except ValidationError as error:
                errors[name] = error.messages
                continue
            if isinstance(field, forms.SplitDateTimeField):
                pieces = field.widget.decompress(value) if isinstance(value, datetime) else [None, None]
                posted |= {f"{name}_{at}": "" if piece is None else str(piece) for at, piece in enumerate(pieces)}
            else:
                posted[name] = value
        if errors:
            raise ValidationError(errors)
        return posted

    def _had(self, field: Any, value: Any) -> Any:
        """A value that a row has as the form's field takes it."""
        if isinstance(field, ModelMultipleChoiceField):
            return [one.pk for one in value or ()]
        return value if isinstance(field, forms.SplitDateTimeField) else field.prepare_value(value)

    def _given(self, name: str, value: Any) -> Any:
        """A cell's value as the form's field takes it. Raises ValidationError."""
        field = self.blank.fields[name]
        if isinstance(value, list | dict) and not isinstance(field, forms.MultipleChoiceField | ModelChoiceField):
            return _prepared(field, value)
        lines = value if isinstance(value, list) else plain(value).replace(",", "\n").splitlines()
        if isinstance(field, ModelMultipleChoiceField):
            whole = value if isinstance(value, list) else plain(value).splitlines()
            return [self._key(name, str(one).strip()) for one in whole if str(one).strip()]
        if isinstance(field, forms.MultipleChoiceField):
            return [str(one).strip() for one in lines if str(one).strip()]
        if isinstance(field, forms.SplitDateTimeField) and isinstance(value, datetime):
            return timezone.localtime(value.replace(tzinfo=UTC))  # as a workbook has it, which knows no zones
        text = plain(value)
        if isinstance(field, ModelChoiceField):
            return self._key(name, text) if text else ""
        if isinstance(field, forms.BooleanField):
            if text.lower() not in FLAGS:
                raise ValidationError(f"“{text[:60]}” is neither true nor false.")
            return FLAGS[text.lower()]
        return _moment(text) if isinstance(field, forms.SplitDateTimeField) else text

    def _key(self, name: str, text: str) -> Any:
        keys = [key for key, known in self.names[name].items() if known == text]
        if not keys:
            some = ", ".join(sorted(self.names[name].values())[:20]) or "none yet"
            raise ValidationError(f"There is no “{text[:100]}”; there are: {some}.")
        return keys[0]


def _prepared(field: Any, value: list[Any] | Row) -> Any:
    """A list or an object as the form's field shows it. Raises ValidationError where it is not what the field holds."""
    try:
        found = field.prepare_value(value)
    except (AttributeError, TypeError):
        found = value
    if isinstance(found, list | dict):
        kind = "a list" if isinstance(value, list) else "an object"
        raise ValidationError(f"This column takes no such value: it is {kind}. Write it as an export does.")
    return found


def check_columns(resource: FormResource, headers: Sequence[str]) -> list[Problem]:
    """What is wrong with the columns of a file."""
    problems = []
    for header in headers:
        if header not in resource.fields:
            near = get_close_matches(header, resource.fields, n=1, cutoff=0.5)
            hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(resource.fields)}."
            problems.append(Problem(row=0, column=header[:100], message=f"There is no such column. {hint}"))
    for name in resource.page.identity:
        if name not in headers:
            message = "This column is missing; rows are known by it. It may be empty where a row has nothing there."
            problems.append(Problem(row=0, column=name, message=message))
    return problems


def look_through(resource: FormResource, sheet: Sheet) -> list[Problem]:
    """All that is wrong with the file; what it would do is in the resource's `changes` then. Nothing is written."""
    if problems := check_columns(resource, sheet.headers):
        return problems
    resource.numbers = sheet.numbers
    result: Result = resource.import_data(Dataset(*sheet.rows, headers=sheet.headers), dry_run=True)
    for row in result.invalid_rows:
        for column, messages in row.error_dict.items():
            name = "" if column == NON_FIELD_ERRORS else column
            problems += [Problem(row=sheet.numbers[row.number - 1], column=name, message=one) for one in messages]
    if broken := [error.error for row in result.error_rows for error in row.errors] + [
        error.error for error in result.base_errors
    ]:
        raise broken[0]
    return sorted(problems, key=lambda problem: (problem.row, not problem.column))


def file_of(page: Any, request: HttpRequest, rows: models.QuerySet[Any], columns: Sequence[str], format: str) -> bytes:
    """The rows as a file of that format with these columns."""
    return written(FormResource(page, request, format).export(rows, export_fields=columns), format)


def _columns(row: models.Model) -> Row:
    """All that a row has, relations to many rows too."""
    found = {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}
    return found | {
        field.name: sorted(getattr(row, field.name).values_list("pk", flat=True)) for field in row._meta.many_to_many
    }


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        found = parse_datetime(text) or parse_datetime(f"{text}T00:00:00")
    except ValueError:
        found = None
    if found is None:
        raise ValidationError(f"“{text[:60]}” is no time; write 2026-11-01T12:30:00Z, or empty.")
    try:
        # A time without a zone is one of the site's zone, as on the form.
        return timezone.localtime(found if found.tzinfo else timezone.make_aware(found))
    except OverflowError:
        raise ValidationError(f"“{text[:60]}” is before the year 1 or after 9999 by the site's clock.") from None

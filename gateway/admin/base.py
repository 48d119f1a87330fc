"""What the gate's admins share: a word on each page about its rows, rows that are only read, changes that are audited."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.db import models, transaction
from django.forms import BaseModelFormSet, ModelForm, ValidationError
from django.http import HttpRequest, HttpResponse
from django.utils import formats, timezone
from django.utils.text import capfirst

from gateway.access import may_name, tenants_of, visible
from gateway.models import AuditEntry

#: Where an action can be run: on chosen rows of the list, and on the page of one row.
EVERYWHERE = [admin.ActionLocation.CHANGE_LIST, admin.ActionLocation.CHANGE_FORM]
#: What the audit log has in place of a value that nobody may read.
HIDDEN = "(hidden)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A link at the top of a row's page."""

    label: str
    url: str


class PageAdmin[M: models.Model](admin.ModelAdmin[M]):
    """An admin whose pages say what their rows are and what may be done with them.

    `fixed` are fields that are chosen once: other rows know this one by them.
    """

    about: ClassVar[str] = ""
    fixed: ClassVar[tuple[str, ...]] = ()
    change_list_template = "tollhouse/change_list.html"
    change_form_template = "tollhouse/change_form.html"
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        title = capfirst(self.opts.verbose_name_plural)
        tools = self.list_tools(request)
        context = {"title": title, "about": self.about, "list_tools": tools, **(extra_context or {})}
        return super().changelist_view(request, context)

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        # No row holds it and the database takes no question with it: as Django does with lookups that cannot be.
        if any("\0" in value for values in request.GET.lists() for value in values[1]):
            raise IncorrectLookupParameters
        return super().get_changelist_instance(request)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        return super().changeform_view(request, object_id, form_url, {"about": self.about, **(extra_context or {})})

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: M | None = None,
    ) -> HttpResponse:
        context["tools"] = self.tools(request, obj) if obj else []
        return super().render_change_form(request, context, add, change, form_url, obj)

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[M]:
        return visible(super().get_queryset(request), request.user)

    def get_form(
        self, request: HttpRequest, obj: M | None = None, change: bool = False, **kwargs: Any
    ) -> type[ModelForm[M]]:
        form = super().get_form(request, obj, change, **kwargs)
        return form if tenants_of(request.user) is None else own_rows_only(form, request)

    def get_readonly_fields(self, request: HttpRequest, obj: M | None = None) -> list[str]:
        return [*super().get_readonly_fields(request, obj), *(self.fixed if obj else ())]

    def list_tools(self, request: HttpRequest) -> list[Tool]:
        """Where else this user may go from the list."""
        return []

    def tools(self, request: HttpRequest, obj: M) -> list[Tool]:
        """What else this user may do with the row, or look at."""
        return []


def own_rows_only[M: models.Model](form: type[ModelForm[M]], request: HttpRequest) -> type[ModelForm[M]]:
    """The form for somebody who is limited to tenants: it offers the names of own rows, and makes no row of another tenant."""

    class OwnRowsOnly(form):  # type: ignore[misc, valid-type]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            for field in self.fields.values():
                if rows := getattr(field, "queryset", None):
                    field.queryset = visible(rows, request.user)
                elif narrow := getattr(field, "narrow", None):
                    narrow(request.user)

        def clean(self) -> dict[str, Any]:
            # First, as what else is checked could tell of another tenant's rows.
            kept = {name: getattr(self.instance, name, None) for name in ("tenant", "scope", "value")}
            if not may_name(request.user, self._meta.model, {**kept, **self.cleaned_data}):
                own = ", ".join(sorted(tenants_of(request.user) or ()))
                raise ValidationError(f"You may do this for your own tenants only: {own}.")
            found: dict[str, Any] = super().clean()
            return found

    return OwnRowsOnly


class ReadOnly:
    """For admins and inlines of rows that the product writes itself: nobody adds, changes or deletes one here."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyAdmin[M: models.Model](ReadOnly, PageAdmin[M]):
    """Pages of rows that the product writes itself."""


class AuditedAdmin[M: models.Model](PageAdmin[M]):
    """Every change made here, of a row or of the rows shown within it, is an entry of the audit log.

    Of `unlogged` fields it says that they changed and not what to: they may quote calls, and the log is never erased.
    """

    unlogged: ClassVar[tuple[str, ...]] = ()

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> M | None:
        found = super().get_object(request, object_id, from_field)
        if found is None or request.method != "POST":
            return found
        # Locked and read again: a form saves all columns, and would undo what somebody else does at the same time.
        self.model._default_manager.select_for_update().order_by("pk").filter(pk=found.pk).first()
        return super().get_object(request, object_id, from_field)

    def save_model(self, request: HttpRequest, obj: M, form: ModelForm[M], change: bool) -> None:
        before = self.model._default_manager.filter(pk=obj.pk).first() if change else None
        super().save_model(request, obj, form, change)
        if before is None:
            audit(request, "create", obj, values=self._logged(obj, form.changed_data))
        elif form.changed_data:
            old, new = self._logged(before, form.changed_data), self._logged(obj, form.changed_data)
            changes = {name: HIDDEN if new[name] is HIDDEN else [old[name], new[name]] for name in new}
            if changes:
                audit(request, "change", obj, changes=changes)

    def _logged(self, row: M, names: Iterable[str]) -> dict[str, Any]:
        return {name: HIDDEN if name in self.unlogged else value for name, value in _values(row, names).items()}

    def save_formset(
        self, request: HttpRequest, form: ModelForm[M], formset: BaseModelFormSet[Any, Any], change: bool
    ) -> None:
        super().save_formset(request, form, formset, change)
        for row in formset.new_objects:
            audit(request, "create", row, of=str(form.instance))
        for row, names in formset.changed_objects:
            audit(request, "change", row, of=str(form.instance), values=_values(row, names))
        for row in formset.deleted_objects:
            audit(request, "delete", row, of=str(form.instance))

    def delete_model(self, request: HttpRequest, obj: M) -> None:
        audit(request, "delete", obj)
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet[M]) -> None:
        with transaction.atomic():
            for row in queryset:
                audit(request, "delete", row)
            super().delete_queryset(request, queryset)


def audit(request: HttpRequest, verb: str, row: models.Model, *, reason: str = "", **detail: Any) -> None:
    """Notes in the audit log that the request's user did this to the row.

    Without a reason of its own it has that which the user gave for all of the request, as for an import.
    """
    name = row._meta.model_name
    AuditEntry.objects.create(
        actor=request.user.get_username(),
        action=f"{name}.{verb}",
        subject=f"{name} {row}"[:255],
        reason=reason or getattr(request, "tollhouse_reason", ""),
        detail=detail,
    )


def _values(row: models.Model, names: Iterable[str]) -> dict[str, Any]:
    """A row's values as JSON holds them. What is no column of it was written in secret and stays so.

    Relations to many rows are left out: they are saved later than the row, and whoever saves them notes them.
    """
    many = {field.name for field in row._meta.many_to_many}
    return {name: _plain(getattr(row, name)) if hasattr(row, name) else HIDDEN for name in names if name not in many}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return value if isinstance(value, str | int | float | list | dict | None) else str(value)


def moment(at: datetime) -> str:
    """A time as our pages write it."""
    return formats.date_format(timezone.localtime(at), "DATETIME_FORMAT")

"""Configuration in files: pages of an admin's list that export its rows, and import them after a look at the differences."""

import base64
import hashlib
from typing import TYPE_CHECKING, Any, ClassVar

import orjson
from django import forms
from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core import signing
from django.core.exceptions import PermissionDenied
from django.db import models, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.text import capfirst

from gateway.admin.base import PageAdmin, Tool
from gateway.admin.fields import ReasonField
from gateway.models import AuditEntry
from gateway.transfer.files import MOST_BYTES, MOST_ROWS, TITLES, Unreadable, read

if TYPE_CHECKING:
    from gateway.transfer.configuration import FormResource, Problem

EXPORT, IMPORT = "tollhouse_gateway.export_configuration", "tollhouse_gateway.import_configuration"
#: How long a preview can be confirmed, in seconds.
PREVIEW_S = 3600
#: Differences that a page shows; an import does all of them.
MOST_SHOWN = 500
MOVED = "Rows were changed since you looked. These are the differences now; nothing was imported yet."


class FileForm(forms.Form):
    file = forms.FileField(
        label="File",
        help_text=f"CSV, Excel (XLSX) or JSON, up to {MOST_BYTES // 1_000_000} MB and {MOST_ROWS:,} rows, as an export writes "
        "it. Nothing is changed before you have seen what would be.",
        widget=forms.ClearableFileInput(attrs={"accept": ".csv,.xlsx,.json"}),
        error_messages={"required": "Choose a file.", "empty": "The file is empty."},
    )


class ReasonForm(forms.Form):
    """What a person says who has looked at the preview; the file comes along, as nothing is kept before."""

    reason = ReasonField(help_text="Goes into the audit log, with each row that is changed.")
    carried = forms.CharField(widget=forms.HiddenInput)


class Reviewed:
    """A file that was looked through: what it does to the rows as they are now, and what is wrong with it."""

    def __init__(
        self, name: str, content: bytes, rows: int, resource: "FormResource", problems: "list[Problem]"
    ) -> None:
        self.name, self.content, self.rows, self.resource, self.problems = name, content, rows, resource, problems
        self.changes = resource.changes

    @property
    def digest(self) -> str:
        """Stands for all of the differences, so that what is done is what was shown."""
        shown = [(change.row, change.kind, change.values) for change in self.changes]
        return hashlib.sha256(orjson.dumps(shown)).hexdigest()

    def count(self, kind: str) -> int:
        return sum(change.kind == kind for change in self.changes)


class PortableAdmin[M: models.Model](PageAdmin[M]):
    """An admin whose rows can be exported to files and imported from them.

    `identity` are the fields by which a row of a file is known; `told` are columns that are exported besides, and not
    imported. Where rows are `appended`, none is ever changed: another value makes another row.
    """

    identity: ClassVar[tuple[str, ...]] = ()
    told: ClassVar[tuple[str, ...]] = ()
    appended: ClassVar[bool] = False

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        pages = {"export": self.export_view, "import": self.import_view}
        return [
            *(
                path(f"{page}/", self.admin_site.admin_view(view), name=f"{name}_{page}")
                for page, view in pages.items()
            ),
            *super().get_urls(),
        ]

    def list_tools(self, request: HttpRequest) -> list[Tool]:
        found = super().list_tools(request)
        base, chosen = f"admin:{self.opts.app_label}_{self.opts.model_name}", request.GET.urlencode()
        if self.may_import(request):
            found.append(Tool(label="Import", url=reverse(f"{base}_import")))
        if self.may_export(request):
            found.append(Tool(label="Export", url=f"{reverse(f'{base}_export')}{'?' * bool(chosen)}{chosen}"))
        return found

    def may_export(self, request: HttpRequest) -> bool:
        return request.user.has_perm(EXPORT) and self.has_view_permission(request)

    def may_import(self, request: HttpRequest) -> bool:
        """Whether a file may be given at all; each row asks for itself."""
        changes = self.has_change_permission(request) and not self.appended
        return request.user.has_perm(IMPORT) and (self.has_add_permission(request) or changes)

    def export_view(self, request: HttpRequest) -> HttpResponse:
        """Asks for columns and format, then sends the rows that the list shows as a file."""
        if not self.may_export(request):
            raise PermissionDenied
        try:
            rows = self.get_changelist_instance(request).queryset
        except IncorrectLookupParameters:
            return HttpResponseRedirect(self._list())
        resource = self._resource(request)
        form = _ColumnsForm(request.POST if request.method == "POST" else None, columns=list(resource.fields))
        if request.method == "POST" and form.is_valid():
            columns = [name for name in resource.fields if name in form.cleaned_data["columns"]]
            return self._file(request, rows, columns, form.cleaned_data["format"])
        context = {
            "title": f"Export {self.opts.verbose_name_plural}", "form": form, "formats": TITLES, "count": rows.count(),
            "narrowed": bool(request.GET), "identity": ", ".join(self.identity),
        }  # fmt: skip
        return self._page(request, "export", context)

    def _file(self, request: HttpRequest, rows: models.QuerySet[M], columns: list[str], format: str) -> HttpResponse:
        # They take a while to import, and few processes ever need them.
        from gateway.transfer.configuration import file_of
        from gateway.transfer.writing import content_type

        content = file_of(self, request, rows, columns, format)
        self._note(request, "export", "", format=format, columns=columns, filters=request.GET.dict())
        answer = HttpResponse(content, content_type=content_type(format))
        name = f"{self.opts.model_name}-{timezone.localdate()}.{format}"
        answer["Content-Disposition"] = f'attachment; filename="{name}"'
        return answer

    def import_view(self, request: HttpRequest) -> HttpResponse:
        """Takes a file, shows what it would do, and does that when it is confirmed with a reason: all of it or nothing."""
        if not self.may_import(request):
            raise PermissionDenied
        if request.method == "POST" and "carried" in request.POST:
            return self._confirmed(request)
        form = FileForm(request.POST or None, request.FILES or None)
        if request.method == "POST" and form.is_valid():
            given = form.cleaned_data["file"]
            try:
                if given.size > MOST_BYTES:
                    raise Unreadable(f"The file has more than {MOST_BYTES // 1_000_000} MB; split it.")
                return self._preview(request, self._review(request, given.name, given.read()))
            except Unreadable as problem:
                form.add_error("file", str(problem))
        resource = self._resource(request)
        context = {
            "title": f"Import {self.opts.verbose_name_plural}", "form": form, "columns": resource.columns,
            "identity": self.identity, "appended": self.appended,
        }  # fmt: skip
        return self._page(request, "import", context)

    def _confirmed(self, request: HttpRequest) -> HttpResponse:
        form = ReasonForm(request.POST)
        try:
            carried = signing.loads(request.POST["carried"], salt=self._salt(request), max_age=PREVIEW_S)
            name, content = carried["name"], base64.b64decode(carried["content"])
        except signing.BadSignature:
            messages.error(
                request, "The preview is too old, or not yours. Nothing was imported; choose the file again."
            )
            return HttpResponseRedirect(request.path)
        if not form.is_valid():
            return self._preview(request, self._review(request, name, content), form)
        # As above.
        from gateway.transfer.configuration import Moved, NotSaved

        found = self._review(request, name, content)
        try:
            if found.problems or found.digest != carried["digest"]:
                raise Moved
            self._save(request, found, form.cleaned_data["reason"])
        except NotSaved as error:
            found.problems = [error.problem]
            return self._preview(request, found)
        except Moved:
            messages.warning(request, MOVED)
            return self._preview(request, self._review(request, name, content))
        messages.success(request, f"Imported {name}: {found.count('new')} new, {found.count('update')} changed.")
        return HttpResponseRedirect(self._list())

    def _save(self, request: HttpRequest, found: Reviewed, reason: str) -> None:
        # The entry of each row has it too.
        request.tollhouse_reason = reason  # type: ignore[attr-defined]
        with transaction.atomic():
            found.resource.save()
            counts = {"new": found.count("new"), "changed": found.count("update"), "rows": found.rows}
            about = {"file": found.name, "sha256": hashlib.sha256(found.content).hexdigest()}
            self._note(request, "import", reason, **counts, **about)

    def _review(self, request: HttpRequest, name: str, content: bytes) -> Reviewed:
        # As above.
        from gateway.transfer.configuration import look_through

        sheet, resource = read(content, name), self._resource(request)
        return Reviewed(name, content, len(sheet.rows), resource, look_through(resource, sheet))

    def _resource(self, request: HttpRequest) -> "FormResource":
        # As above.
        from gateway.transfer.configuration import FormResource

        return FormResource(self, request)

    def _preview(self, request: HttpRequest, found: Reviewed, form: ReasonForm | None = None) -> HttpResponse:
        carried = {"name": found.name, "content": base64.b64encode(found.content).decode(), "digest": found.digest}
        signed = signing.dumps(carried, salt=self._salt(request), compress=True)
        if form is None:
            form = ReasonForm(initial={"carried": signed, "reason": request.POST.get("reason", "")})
        context = {
            "title": f"Import {found.name}", "found": found, "form": form, "signed": signed,
            "problems": found.problems[:MOST_SHOWN], "changes": found.changes[:MOST_SHOWN], "most": MOST_SHOWN,
            "new": found.count("new"), "changed": found.count("update"), "same": found.rows - len(found.changes),
        }  # fmt: skip
        return self._page(request, "preview", context)

    def _page(self, request: HttpRequest, name: str, context: dict[str, Any]) -> HttpResponse:
        own = {"opts": self.opts, "list_url": self._list(), "plural": capfirst(str(self.opts.verbose_name_plural))}
        return TemplateResponse(
            request, f"tollhouse/transfer_{name}.html", {**self.admin_site.each_context(request), **own, **context}
        )

    def _note(self, request: HttpRequest, verb: str, reason: str, **detail: Any) -> None:
        AuditEntry.objects.create(
            actor=request.user.get_username(), action=f"{self.opts.model_name}.{verb}", reason=reason,
            subject=str(self.opts.verbose_name_plural), detail=detail,
        )  # fmt: skip

    def _list(self) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")

    def _salt(self, request: HttpRequest) -> str:
        return f"tollhouse.import.{self.opts.label_lower}.{request.user.pk}"


class _ColumnsForm(forms.Form):
    """Which columns, and as what."""

    columns = forms.MultipleChoiceField(
        widget=forms.CheckboxSelectMultiple, error_messages={"required": "Choose one column or more."}
    )
    format = forms.ChoiceField(
        choices=list(TITLES.items()), initial="csv", error_messages={"required": "Choose a format."}
    )

    def __init__(self, *args: Any, columns: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["columns"].choices = [(name, name) for name in columns]  # type: ignore[attr-defined]
        self.initial["columns"] = columns

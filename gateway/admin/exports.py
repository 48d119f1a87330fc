"""Exports of calls: the page on which one is asked for, those that a worker makes, and their files."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.handlers.asgi import ASGIRequest
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
    JsonResponse,
    StreamingHttpResponse,
)
from django.http.response import HttpResponseBase
from django.template.defaultfilters import filesizeformat
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import formats
from django.utils.html import format_html

from gateway.admin.base import ReadOnlyAdmin, audit, moment
from gateway.admin.call_list import Filters, TooMuch, readable
from gateway.conf import settings
from gateway.explorer import background
from gateway.explorer.background import Refused, may_export
from gateway.explorer.export import COLUMNS
from gateway.explorer.fields import FIELDS
from gateway.explorer.query import Query, Text, quote
from gateway.explorer.search import search
from gateway.models import AuditEntry, Call, Export
from gateway.privacy import subject
from gateway.transfer.files import TITLES
from gateway.worker_beat import silent_s

#: The most that a file has that is made at once: somebody waits for it, in a process that has calls to answer.
MOST_ROWS = 5_000
#: How long a download that is made at once may look for its calls, in seconds.
LOOK_S = 10.0
#: Columns that are chosen at first.
USUAL = (
    "id", "started_at", "feature", "tenant", "user_ref", "session_id", "key", "labels", "prompt_version", "provider",
    "model_served", "attempts", "cache_hit", "input_tokens", "cache_read_tokens", "output_tokens", "reasoning_tokens",
    "cost_usd", "adjusted_usd", "latency_ms", "first_token_ms", "outcome", "error_class", "http_status",
)  # fmt: skip
#: Choices of the form: files that are made at once, and those that a worker makes.
LATER = {f"later-{value}": label for value, label in Export.Format.choices}
FORMATS = [
    (f"At once, up to {MOST_ROWS:,} calls", list(TITLES.items())),
    ("In the background, any number of calls", list(LATER.items())),
]
TONES = {"ready": "good", "failed": "bad", "cancelled": "warn"}


class ExportForm(forms.Form):
    """Which columns, and as what."""

    columns = forms.MultipleChoiceField(
        choices=[(column, column) for column in COLUMNS], widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Choose one column or more."},
    )  # fmt: skip
    format = forms.ChoiceField(choices=FORMATS, error_messages={"required": "Choose a format."})


def export(page: admin.ModelAdmin[Call], request: HttpRequest) -> HttpResponse:
    """Asks for columns and format, then sends the calls of the address's query as a file, or has a worker make one."""
    if not may_export(request.user):
        raise PermissionDenied
    filters = Filters.asked(request)
    calls = reverse("admin:tollhouse_gateway_call_changelist")
    if filters.problem:
        return HttpResponseRedirect(f"{calls}{filters.link()}")
    form = ExportForm(request.POST if request.method == "POST" else None, initial={"columns": USUAL, "format": "csv"})
    if request.method == "POST" and form.is_valid():
        format, columns = form.cleaned_data["format"], form.cleaned_data["columns"]
        make = _later if format in LATER else _now
        try:
            return make(request, filters, [name for name in COLUMNS if name in columns], format)
        except Refused as problem:
            form.add_error("format", str(problem))
    within = filters.within()
    context = {
        **page.admin_site.each_context(request), "title": "Export calls", "opts": page.opts, "form": form,
        "filters": filters, "within": within, "calls": f"{calls}{filters.link()}", "usual": " ".join(USUAL), "formats": FORMATS,
        "hours": settings().EXPORT_KEEP_HOURS,
    }  # fmt: skip
    return TemplateResponse(request, "admin/tollhouse_gateway/call/export.html", context)


def _now(request: HttpRequest, filters: Filters, columns: list[str], format: str) -> HttpResponse:
    later = "Narrow the query or the time, or choose a format in the background, where any number is made."
    try:
        found = search(filters.query, filters.within(), among=readable(request), size=MOST_ROWS, budget_s=LOOK_S)
    except TooMuch:
        raise Refused(f"The calls could not be read in time. {later}") from None
    if found.searched_to:
        raise Refused(f"It takes more than {LOOK_S:.0f} seconds to look through all calls of that time. {later}")
    if found.older:
        raise Refused(f"More than {MOST_ROWS:,} calls fit. {later}")
    # They take a while to import, and few processes ever need them.
    from gateway.transfer.calls import file_of
    from gateway.transfer.writing import content_type

    content = file_of(found.calls, columns, format)
    _note(request, filters, columns, "calls at once", format=format, rows=len(found.calls))
    answer = HttpResponse(content, content_type=content_type(format))
    within = filters.within()
    return _as_file(answer, f"calls-{within.since:%Y-%m-%d}-to-{within.until:%Y-%m-%d}.{format}")


def _later(request: HttpRequest, filters: Filters, columns: list[str], format: str) -> HttpResponse:
    kind = format.removeprefix("later-")
    row = background.ask(request.user, query=filters.text, within=filters.within(), columns=columns, format=kind)
    _note(request, filters, columns, f"export {row}", format=kind)
    return HttpResponseRedirect(_page(row))


def _note(request: HttpRequest, filters: Filters, columns: list[str], subject: str, **detail: Any) -> None:
    within = filters.within()
    about = {
        "query": _impersonal(filters.query),
        "since": str(within.since),
        "until": str(within.until),
        "columns": columns,
    }
    AuditEntry.objects.create(
        actor=request.user.get_username(), action="call.export", subject=subject, detail=about | detail
    )


def _impersonal(query: Query) -> str:
    """The query's text as the audit log may keep it: nothing is taken out of that, so a person is called there as erasures do."""
    text = query.text
    values = [value for term in query.terms if term.field is FIELDS["user"] for value in term.values]
    for value in reversed(values):
        assert isinstance(value, Text)
        if value.text:
            text = text[: value.start] + quote(subject(value.text)) + text[value.end :]
    return text


@admin.register(Export)
class ExportAdmin(ReadOnlyAdmin[Export]):
    about = (
        "Files of calls that a worker makes, or has made: of the calls that whoever asked may see. They and their files are "
        "deleted some days after they are ready. To ask for one, use “Export” above the list of calls."
    )
    list_display = ["shown_what", "asked_by", "asked_at", "shown_state", "shown_rows", "shown_file"]
    list_filter = ["state", "format"]
    list_select_related = ["asked_by"]
    search_fields = ["query", "asked_by__username"]
    search_help_text = "Query, or who asked"

    def has_view_permission(self, request: HttpRequest, obj: Export | None = None) -> bool:
        return may_export(request.user)

    def get_urls(self) -> list[URLPattern]:
        pages = {"progress": self.progress, "download": self.download, "cancel": self.cancel}
        return [
            *(path(f"<int:id>/{name}/", self.admin_site.admin_view(view), name=f"tollhouse_gateway_export_{name}")
              for name, view in pages.items()),
            *super().get_urls(),
        ]  # fmt: skip

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self._row(request, object_id)
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        silent = silent_s() if row.state == Export.State.WAITING else 0.0
        context = {
            **self.admin_site.each_context(request), "title": "Export of calls", "about": self.about,
            "opts": self.opts, "export": row,
            "tone": TONES.get(row.state, ""), "told": _told(row), "all_columns": len(row.columns) == len(COLUMNS),
            "calls": f"{reverse('admin:tollhouse_gateway_call_changelist')}{_filters(row).link()}",
            "nobody": silent is None or silent > settings().WORKER_SILENT_AFTER_S,
        }  # fmt: skip
        return TemplateResponse(request, "admin/tollhouse_gateway/export/page.html", context)

    def progress(self, request: HttpRequest, id: int) -> HttpResponse:
        """How far it is, as JSON."""
        row = self._row(request, id)
        return JsonResponse({"open": row.open, "state": row.state, "share": row.share, "told": _told(row)})

    def download(self, request: HttpRequest, id: int) -> HttpResponseBase:
        """The file. It is posted for, as a download is an entry of the audit log."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        row = self._row(request, id)
        if row.state != Export.State.READY:
            raise Http404(f"The file of export {id} is not there.")
        audit(request, "download", row, asked_by=str(row.asked_by), rows=row.rows, bytes=row.size)
        # A server that waits for a plain iterator would have all of it in memory.
        pieces = background.apieces(row) if isinstance(request, ASGIRequest) else background.pieces(row)
        kind = "text/csv; charset=utf-8" if row.format == Export.Format.CSV else "application/vnd.apache.parquet"
        answer = StreamingHttpResponse(pieces, content_type=kind)
        answer["Content-Length"] = row.size
        return _as_file(answer, f"calls-{row.since:%Y-%m-%d}-to-{row.until:%Y-%m-%d}-{row.pk}.{row.format}")

    def cancel(self, request: HttpRequest, id: int) -> HttpResponse:
        """Ends it; what was made of the file goes."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        row = self._row(request, id)
        if background.cancel(row):
            audit(request, "cancel", row)
        else:
            messages.warning(request, "It had ended already.")
        return HttpResponseRedirect(_page(row))

    def _row(self, request: HttpRequest, id: str | int) -> Export:
        """The export, for those who may see all of what is in it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = self.get_object(request, str(id))
        if row is None:
            raise Http404(f"There is no export {id}; it may have been deleted, as its time was over.")
        return row

    @admin.display(description="Calls", ordering="query")
    def shown_what(self, row: Export) -> str:
        return row.query or "all calls"

    @admin.display(description="State", ordering="state")
    def shown_state(self, row: Export) -> str:
        word = f"{row.state}, {row.share:.0%}" if row.state == Export.State.RUNNING else row.state
        return format_html('<span class="th-pill {}">{}</span>', TONES.get(row.state, ""), word)

    @admin.display(description="Rows", ordering="rows")
    def shown_rows(self, row: Export) -> str:
        return format_html('<span class="th-number">{}</span>', f"{row.rows:,}")

    @admin.display(description="File", ordering="size")
    def shown_file(self, row: Export) -> str:
        kind = row.get_format_display()
        return f"{kind}, {filesizeformat(row.size)}" if row.state == Export.State.READY else kind


def _told(row: Export) -> str:
    """How far an export is, or how it ended, in words."""
    count = formats.number_format(row.rows, force_grouping=True)
    match row.state:
        case Export.State.WAITING:
            return "Waiting for a worker."
        case Export.State.RUNNING:
            of = f" of about {_about(row.expected)}" if row.expected else ""
            return (
                f"{formats.number_format(row.rows, force_grouping=True)}{of} calls, {row.share:.0%} of the time read."
            )
        case Export.State.READY:
            until = moment(row.expires_at) if row.expires_at else ""
            return f"{count} calls, {filesizeformat(row.size)}. Deleted on {until}."
        case Export.State.CANCELLED:
            return "Cancelled; nothing was kept."
    return row.error


def _about(count: int) -> str:
    """A figure that is not exact, to two places."""
    places = max(0, len(str(count)) - 2)
    return formats.number_format(round(count, -places), force_grouping=True)


def _filters(row: Export) -> Filters:
    return Filters.of({"q": row.query, "since": row.since.isoformat(), "until": row.until.isoformat()})


def _page(row: Export) -> str:
    return reverse("admin:tollhouse_gateway_export_change", args=[row.pk])


def _as_file[Answer: HttpResponseBase](answer: Answer, name: str) -> Answer:
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    answer["X-Content-Type-Options"] = "nosniff"
    return answer

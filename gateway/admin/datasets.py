"""Datasets: what calls said, kept for evals. Reading an item needs the permission to read what calls say."""

from typing import Any, ClassVar

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import Count, OuterRef, Subquery
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, StreamingHttpResponse
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from gateway import datasets
from gateway.access import visible
from gateway.admin.base import AuditedAdmin, Tool, audit
from gateway.admin.payloads import may_read
from gateway.models import Dataset, DatasetItem


@admin.register(Dataset)
class DatasetAdmin(AuditedAdmin[Dataset]):
    """Items come from the pages of calls."""

    about = (
        "Collections of what calls said, redacted, for evals. A call is added on its page; a dataset keeps it when its payload "
        "is gone."
    )
    fixed = ("name",)
    list_display = ["name", "description", "shown_items", "created_at"]
    search_fields = ["name", "description"]
    search_help_text = "Name or description"

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Dataset]:
        own = visible(DatasetItem.objects.filter(dataset=OuterRef("pk")), request.user)
        counted = own.order_by().values("dataset").annotate(count=Count("pk")).values("count")
        return super().get_queryset(request).annotate(item_count=Coalesce(Subquery(counted), 0))

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.export)
        return [path("<int:id>/export/", view, name="tollhouse_gateway_dataset_export"), *super().get_urls()]

    def tools(self, request: HttpRequest, obj: Dataset) -> list[Tool]:
        items = f"{reverse('admin:tollhouse_gateway_datasetitem_changelist')}?dataset__id__exact={obj.pk}"
        found = [Tool(label="Its items", url=items)]
        if request.user.has_perm("tollhouse_gateway.export_dataset") and may_read(request):
            export = reverse("admin:tollhouse_gateway_dataset_export", args=[obj.pk])
            found.append(Tool(label="Export as JSON lines", url=export))
        return found

    def export(self, request: HttpRequest, id: int) -> HttpResponse | StreamingHttpResponse:
        """The dataset as a file of JSON lines; GET asks, POST answers, as the export is audited."""
        if not (request.user.has_perm("tollhouse_gateway.export_dataset") and may_read(request)):
            raise PermissionDenied
        dataset = self.get_object(request, str(id))
        if dataset is None:
            raise Http404(f"There is no dataset {id}.")
        if request.method == "GET":
            context = {**self.admin_site.each_context(request), "opts": self.opts}
            context |= {"title": f"Export {dataset}", "dataset": dataset}
            return HttpResponse(render_to_string("tollhouse/dataset_export.html", context, request))
        if request.method != "POST":
            return HttpResponseNotAllowed(["GET", "POST"])
        audit(request, "export", dataset, items=dataset.items.count())
        answer = StreamingHttpResponse(datasets.lines(dataset), content_type="application/jsonl")
        answer["Content-Disposition"] = f'attachment; filename="{dataset.name}.jsonl"'
        return answer

    @admin.display(description="Items", ordering="item_count")
    def shown_items(self, dataset: Any) -> int:
        return int(dataset.item_count)


@admin.register(DatasetItem)
class DatasetItemAdmin(AuditedAdmin[DatasetItem]):
    """What was said is fixed; what is expected may be edited."""

    about = "Examples for evals: what a call said, redacted, and what a good reply is."
    fixed: ClassVar[tuple[str, ...]] = ("dataset",)
    unlogged = ("expected",)
    list_display = ["id", "dataset", "feature", "shown_call", "created_at", "created_by"]
    list_filter = ["dataset", "feature"]
    list_select_related = ["dataset"]
    search_fields = ["feature", "call_id"]
    search_help_text = "Feature or id of the call"
    fields = ["dataset", "feature", "shown_call", "shown_messages", "expected", "created_at", "created_by"]
    readonly_fields = ["feature", "shown_call", "shown_messages", "created_at", "created_by"]

    def get_fields(self, request: HttpRequest, obj: DatasetItem | None = None) -> Any:
        texts = () if may_read(request) else ("shown_messages", "expected")
        return [name for name in self.fields or () if name not in texts]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: DatasetItem | None = None,
    ) -> HttpResponse:
        # Here and not where a page is asked for: a form with a fault shows what was said once more.
        if obj is not None and may_read(request):
            audit(request, "read", obj)
        return super().render_change_form(request, context, add, change, form_url, obj)

    @admin.display(description="Call")
    def shown_call(self, item: DatasetItem) -> str:
        if item.call_id is None:
            return "–"
        url = reverse("admin:tollhouse_gateway_call_change", args=[item.call_id])
        return format_html('<a href="{}"><code>{}</code></a>', url, item.call_id)

    @admin.display(description="What was said")
    def shown_messages(self, item: DatasetItem) -> str:
        return render_to_string("tollhouse/said.html", {"messages": item.messages, "reply": item.reply})

"""The frame around every dashboard: who may see it, the filter bar, what is said when there is nothing or too much to show."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.http import urlencode

from dashboards.filters import DIMENSIONS, NONE, PRESETS, Asked, Filters, iso, parse
from dashboards.pages.charts import Chart
from dashboards.rollups import TooMuchData, one_snapshot
from gateway.access import tenants_of
from gateway.explorer.query import MOST_CHARACTERS
from gateway.models import Feature
from gateway.types import OUTCOMES

#: For whom calls were made is told only to those who may view calls.
PEOPLE = ("tenant", "user_ref", "key", "label")
LABELS = {
    "feature": "Feature", "tenant": "Tenant", "cohort": "Cohort", "user_ref": "User", "key": "API key", "provider": "Provider",
    "model": "Model", "prompt_version": "Prompt version", "outcome": "Outcome", "error_class": "Error class",
    "label": "Label",
}  # fmt: skip
#: Features that the bar suggests; any other can be typed.
MOST_FEATURES = 2000
#: What stands in the bar; the other dimensions are under “More filters”.
FIRST = ("feature", "tenant", "model", "outcome")


@dataclass(frozen=True)
class Reading:
    """One reader's view: what is asked, as far as this reader may ask it, with what is told of the rest in its problems.

    `tenants` are those whose calls the reader may see; None: all.
    """

    request: HttpRequest
    asked: Asked
    tenants: Collection[str] | None = None
    #: The time at which it is read; None: the present.
    now: datetime | None = None

    @classmethod
    def of(cls, request: HttpRequest, now: datetime | None = None) -> "Reading":
        asked = parse(request.GET, now)
        if not request.user.has_perm("tollhouse_gateway.view_call"):
            hidden = [name for name in PEOPLE if name in asked.filters.where]
            kept = {name: values for name, values in asked.filters.where.items() if name not in hidden}
            told = tuple(
                f"{LABELS[name]} was left out of the filters: it takes the permission to view calls." for name in hidden
            )
            asked = replace(asked, filters=replace(asked.filters, where=kept), problems=(*asked.problems, *told))
        return cls(request, asked, tenants(request), now)

    @property
    def filters(self) -> Filters:
        """The calls to show, none but those that the reader may see. Every figure of every page is of these."""
        return self._allowed(self.asked.filters)

    @property
    def before(self) -> Filters:
        """The calls to compare them with."""
        return self._allowed(self.asked.before)

    def _allowed(self, filters: Filters) -> Filters:
        if self.tenants is None:
            return filters
        wanted = filters.where.get("tenant", self.tenants)
        kept = tuple(sorted(tenant for tenant in wanted if tenant in self.tenants))
        return replace(filters, where={**filters.where, "tenant": kept})

    @cached_property
    def sees_calls(self) -> bool:
        return self.request.user.has_perm("tollhouse_gateway.view_call")

    def may(self, permission: str) -> bool:
        """Whether the reader has it; `permission` is e.g. `tollhouse_budgets.view_window`."""
        return self.request.user.has_perm(permission)

    def choice(self, name: str, known: Mapping[str, Any]) -> str:
        """The value of a parameter that has but these; the first of them where it has another."""
        given = self.request.GET.get(name, "")
        return given if given in known else next(iter(known))

    def data_url(self, page: str, chart: str, **changes: str) -> str:
        """Where a chart gets its data from."""
        return f"{reverse('admin:dashboard_data', args=[page, chart])}?{self.asked.query(**changes)}"

    def calls_url(self, filters: Filters | None = None, *more: str, timed: bool = True) -> str:
        """The list of the calls that these filters (default: the reader's) and `more` terms of its box let through; empty for who
        may not see it, where none of the values asked for is one that the reader may see, or where there are too many to say."""
        found = filters or self.filters
        if not self.sees_calls or () in found.where.values():
            return ""
        # The list shows a reader of some tenants no others anyway, and there may be more of them than its box takes.
        said = {name: values for name, values in found.where.items() if name != "tenant" or not self._all_own(values)}
        text = " ".join([*(term(name, values) for name, values in said.items()), *more])
        if len(text) > MOST_CHARACTERS:
            return ""
        query = {"q": text} | ({"since": iso(found.since), "until": iso(found.until)} if timed else {})
        return f"{reverse('admin:tollhouse_gateway_call_changelist')}?{urlencode(query)}"

    def _all_own(self, tenants: tuple[str, ...]) -> bool:
        return self.tenants is not None and {*tenants} == {*self.tenants}

    def others_url(self, name: str, shown: Iterable[str], *more: str) -> str:
        """The list of the calls that have none of the values shown, without the time."""
        return self.calls_url(self.filters, f"-{term(name, (*shown,))}", *more, timed=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page under /admin/dashboards/. `charts` make the data of its figures; `more` are parameters of its own."""

    name: str
    title: str
    about: str
    permission: str
    context: Callable[[Reading], dict[str, Any]]
    charts: Mapping[str, Callable[[Reading], Chart]] = field(default_factory=dict)
    more: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        return reverse("admin:dashboard", args=[self.name])

    def view(self, request: HttpRequest, site: AdminSite) -> HttpResponse:
        reading = self._reading(request)
        if isinstance(reading, HttpResponse):
            return reading
        try:
            with one_snapshot():
                shown = self.context(reading)
        except TooMuchData as error:
            shown = {"too_much": str(error)}
        context = {
            **site.each_context(request), **frame(reading, self.more), **shown,
            "title": self.title, "about": self.about, "page": self,
        }  # fmt: skip
        return TemplateResponse(request, f"tollhouse/dashboards/{self.name}.html", context)

    def data(self, request: HttpRequest, chart: str) -> HttpResponse:
        reading = self._reading(request)
        if isinstance(reading, HttpResponse):
            return reading
        make = self.charts.get(chart)
        if make is None:
            raise Http404(f"{self.title} has no chart {chart}.")
        try:
            with one_snapshot():
                found = JsonResponse(make(reading).as_json())
        except TooMuchData as error:
            found = JsonResponse({"problem": str(error)}, status=422)
        found["Cache-Control"] = "private, no-store"
        return found

    def _reading(self, request: HttpRequest) -> Reading | HttpResponse:
        if not request.user.has_perm(self.permission):
            raise PermissionDenied
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        return Reading.of(request)


def tenants(request: HttpRequest) -> Collection[str] | None:
    """The tenants whose calls the reader may see; None: all. Every page asks here."""
    return tenants_of(request.user)


def frame(reading: Reading, more: tuple[str, ...] = ()) -> dict[str, Any]:
    """What the filter bar shows. `more` are the page's own parameters, which the bar keeps."""
    asked = reading.asked
    open_to = [name for name in DIMENSIONS if reading.sees_calls or name not in PEOPLE]
    kept = {name: reading.request.GET[name][:100] for name in more if reading.request.GET.get(name)}
    return {
        "asked": asked,
        "reading": reading,
        "presets": {**PRESETS, "custom": "From and to"},
        "first": [(name, LABELS[name]) for name in FIRST if name in open_to],
        "others": [(name, LABELS[name]) for name in open_to if name not in FIRST],
        "features": list(Feature.objects.values_list("slug", flat=True)[:MOST_FEATURES]),
        "outcomes": OUTCOMES,
        "chips": [
            (name, LABELS[name], value or NONE, f"?{'&'.join(filter(None, [asked.without(name, value), urlencode(kept)]))}")
            for name, values in asked.filters.where.items() for value in values
        ],
        "kept": kept,
        "kept_query": urlencode(kept),
        "calls_url": reading.calls_url(),
        "query": asked.query(),
    }  # fmt: skip


def term(name: str, values: tuple[str, ...]) -> str:
    """A dimension's or field's values in the language of the call list's box; outcomes as they count."""
    name = "ended" if name == "outcome" else name
    return f"{name}:{','.join(_quoted(value) for value in values)}"


def _quoted(value: str) -> str:
    plain = value and all(sign.isalnum() or sign in "._-/@=:" for sign in value)
    return value if plain else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

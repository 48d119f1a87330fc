"""Views that readers save: a page with its filters under a name, for themselves or for all who may see the page."""

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import urlencode

from dashboards.filters import parse
from dashboards.models import Digest, SavedView
from dashboards.pages.frame import Page
from gateway.access import User, tenants_of

LONGEST_NAME, LONGEST_QUERY = 80, 4000
#: Views of one person, and of all that a page lists.
MOST_OWN, MOST_LISTED = 100, 200


def usable(user: User) -> QuerySet[SavedView]:
    """The views that a user may use: the user's own and those that are shared.

    To who is limited to tenants others' views are not shown, as their names and filters may name any tenant.
    """
    allowed = Q(owner=user.pk)
    if tenants_of(user) is None:
        allowed |= Q(shared=True)
    return SavedView.objects.filter(allowed)


def views(request: HttpRequest, page: str) -> QuerySet[SavedView]:
    """The views of a page that the reader may use."""
    return usable(request.user).filter(page=page).select_related("owner")[:MOST_LISTED]


def save(request: HttpRequest, page: Page) -> HttpResponse:
    """Saves what the form says as a view; one of the same name is replaced."""
    _check(request, page)
    query = _query(request.POST.get("query", ""), page)
    name = " ".join(request.POST.get("name", "").split())
    where = f"{page.url}?{query}"
    if not name or len(name) > LONGEST_NAME or "\0" in name:
        messages.error(request, f"A view needs a name of at most {LONGEST_NAME} characters; nothing was saved.")
        return HttpResponseRedirect(where)
    others = SavedView.objects.filter(owner=request.user.pk).exclude(page=page.name, name=name)
    if len(query) > LONGEST_QUERY or others.count() >= MOST_OWN:
        messages.error(
            request, f"This is too much to save: leave out some filters, or delete one of your {MOST_OWN} views."
        )
        return HttpResponseRedirect(where)
    values = {"query": query, "shared": "shared" in request.POST}
    SavedView.objects.update_or_create(owner_id=request.user.pk, page=page.name, name=name, defaults=values)
    messages.success(request, f"The view “{name}” was saved.")
    return HttpResponseRedirect(where)


def delete(request: HttpRequest, page: Page, pk: int, site: AdminSite) -> HttpResponse:
    """Deletes a view of the reader's own; who may do everything may delete a shared one. Of one that digests send it is asked for
    once more, with what becomes of them.
    """
    _check(request, page)
    found = SavedView.objects.filter(pk=pk, page=page.name)
    if not request.user.is_superuser:
        found = found.filter(owner=request.user.pk)
    view = found.filter(Q(owner=request.user.pk) | Q(shared=True)).first()
    if view is None:
        raise Http404("There is no such view of yours.")
    sent = Digest.objects.filter(views=view).values("pk")
    digests = Digest.objects.filter(pk__in=sent).annotate(left=Count("views") - 1).order_by("name")
    if digests and "confirmed" not in request.POST:
        told = [digest for digest in digests if _told(request.user, digest)]
        context = {
            **site.each_context(request), "title": "Delete a view", "view": view, "page": page, "digests": told,
            "others": len(digests) - len(told),
        }  # fmt: skip
        return TemplateResponse(request, "tollhouse/dashboards/view_delete.html", context)
    view.delete()
    messages.success(request, f"The view “{view.name}” was deleted.")
    return HttpResponseRedirect(reverse("admin:dashboard", args=[page.name]))


def _told(user: User, digest: Digest) -> bool:
    """Whether a user is told what a digest is called: its owner, and who sees all of them."""
    return digest.owner_id == user.pk or (
        tenants_of(user) is None and user.has_perm("tollhouse_dashboards.view_digest")
    )


def _check(request: HttpRequest, page: Page) -> None:
    if not request.user.has_perm(page.permission):
        raise PermissionDenied


def _query(given: str, page: Page) -> str:
    """The query string as pages write it, so that nothing else than filters is kept."""
    found = QueryDict(given[: 2 * LONGEST_QUERY])
    kept = {name: found[name][:100] for name in page.more if found.get(name)}
    return "&".join(filter(None, [parse(found).query(), urlencode(kept)]))

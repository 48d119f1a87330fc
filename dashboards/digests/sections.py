"""Pages read as the digest's owner would see them at a time: by the pages' own code, so that the figures are the same."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from django.contrib.auth.models import AbstractUser
from django.http import Http404, HttpRequest, QueryDict
from django.urls import resolve, reverse
from django.utils import timezone

from dashboards.digests.content import Content, Figure, Section
from dashboards.digests.listings import of_overview, of_page, site_url
from dashboards.digests.models import Digest, DigestDelivery
from dashboards.digests.schedule import in_words
from dashboards.filters import NONE, iso
from dashboards.models import SavedView
from dashboards.pages import budgets, spend
from dashboards.pages.frame import LABELS, Page, Reading
from dashboards.pages.headline import headline
from dashboards.pages.registry import PAGES
from dashboards.pages.saved import usable
from dashboards.rollups import TooMuchData
from gateway.access import tenants_of

#: Charts of one page, those of budgets on the overview, and of a whole digest.
MOST_CHARTS, MOST_BUDGETS, MOST_IN_ALL = 8, 3, 24
OVERVIEW = "tollhouse_gateway.view_feature"
HEADINGS = {
    "prompts": {"cost": "Cost per call by version", "success": "Successful calls by version"},
    "privacy": {"entities": "Entities found over time", "refusals": "Calls refused by policy"},
}


class NotAllowed(Exception):
    """The digest is not made, as its owner may not see it, or nothing is left of it; the message says what is missing."""


def make(delivery: DigestDelivery) -> Content:
    """What the digest says of the time at which it was due, with the rights that its owner has now. Raises NotAllowed."""
    digest, due = delivery.digest, delivery.due_at
    owner = _owner(digest)
    since, until = digest.schedule.period(due)
    period = f"range=custom&since={iso(since)}&until={iso(until)}"
    sections = [_overview(owner, period, due)] if digest.overview else []
    for view in digest.views.order_by("name", "pk"):
        sections.append(_view(owner, view, "" if digest.own_ranges else period, due))
    if not sections:
        raise NotAllowed("Its views were deleted, so there is nothing to send: choose others.")
    missed = f"Earlier digests that were left out, as no worker ran when they were due: {delivery.missed:,}."
    return Content(
        title=digest.name,
        when=in_words(since, until, digest.zone) if digest.overview or not digest.own_ranges else _moment(due),
        sections=_at_most(sections),
        notes=[missed] if delivery.missed else [],
        foot=list(_foot(digest, owner, delivery.asked_by)),
        url=site_url(reverse("admin:tollhouse_dashboards_digest_change", args=[digest.pk])),
    )


def _owner(digest: Digest) -> AbstractUser:
    owner = digest.owner
    if owner is None:
        raise NotAllowed("It has no owner any more, as the user was deleted: a superuser can choose another.")
    if not owner.is_active or not owner.is_staff:
        raise NotAllowed(f"Its owner, {owner.get_username()}, may not log in here any more.")
    return owner


def _overview(owner: AbstractUser, query: str, now: datetime) -> Section:
    if not owner.has_perm(OVERVIEW):
        raise NotAllowed(
            f"Its owner, {owner.get_username()}, may not see the overview: the permission {OVERVIEW} is missing."
        )
    reading = read(owner, query, now)
    shown = headline(reading)
    tiles, figures, notes = list(shown.get("tiles", ())), [], _problems(reading, shown)
    if "too_much" not in shown:
        tiles.insert(0, replace(spend.context(reading)["tiles"][0], label="Spend in this time"))
        charts = [("Spend by feature", shown["chart_urls"]["spend"]), ("Latency", shown["chart_urls"]["latency"])]
        if reading.may(budgets.BUDGETS.permission):
            charts += _burn_downs(budgets.context(reading)["windows"][:MOST_BUDGETS])
        figures = _figures(owner, charts, now, notes)
    return Section(
        title="Overview",
        about=_about(reading),
        url=site_url(f"{reverse('admin:index')}?{reading.asked.query()}"),
        tiles=tiles,
        figures=figures,
        listings=list(of_overview(reading, shown)),
        notes=notes,
    )


def _view(owner: AbstractUser, view: SavedView, period: str, now: datetime) -> Section:
    """What a view shows, in another time than its own where one is given."""
    page = PAGES.get(view.page)
    if page is None or not owner.has_perm(page.permission) or not usable(owner).filter(pk=view.pk).exists():
        where = page.title if page else view.page
        raise NotAllowed(f"Its owner, {owner.get_username()}, may not see the view “{view.name}” of {where} any more.")
    asked = QueryDict(view.query, mutable=True)
    for name, value in parse_qsl(period):
        asked[name] = value
    reading = read(owner, asked.urlencode(), now)
    try:
        shown = page.context(reading)
    except TooMuchData as error:
        shown = {"too_much": str(error)}
    notes = _problems(reading, shown)
    bare = Section(
        title=f"{page.title}: {view.name}", about=_about(reading, as_of=page is budgets.BUDGETS), notes=notes,
        url=site_url(f"{page.url}?{asked.urlencode()}".rstrip("?")),
    )  # fmt: skip
    if shown.get("nothing") or "too_much" in shown:
        return replace(bare, notes=notes or ["There is nothing to show in this time."])
    figures = _figures(owner, list(_charts(page, shown))[:MOST_CHARTS], now, notes)
    return replace(bare, tiles=shown.get("tiles", ()), figures=figures, listings=of_page(page.name, shown))


def read(owner: AbstractUser, query: str, now: datetime) -> Reading:
    """What the owner would see at an address with this query string, at the time."""
    request = HttpRequest()
    request.method, request.GET = "GET", QueryDict(query)
    request.user = owner  # type: ignore[assignment]  # of whatever class users are
    return Reading.of(request, now)


def _charts(page: Page, shown: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The charts of a page, each with its heading and the address of its data."""
    if "chart_url" in shown:
        yield f"Spend by {shown['by_label'].lower()}", shown["chart_url"]
    headings = {name: heading for name, heading, _ in shown.get("charts", ())} | HEADINGS.get(page.name, {})
    for name, url in shown.get("chart_urls", {}).items():
        yield headings.get(name, page.title), url
    yield from _burn_downs(shown.get("windows", ()))


def _burn_downs(windows: Iterable[budgets.Shown]) -> list[tuple[str, str]]:
    return [(f"What is left of {shown.item.window.scope}", shown.url) for shown in windows]


def _figures(owner: AbstractUser, charts: list[tuple[str, str]], now: datetime, notes: list[str]) -> list[Figure]:
    """The charts that the page would draw with the data at these addresses; those that cannot be had are noted."""
    found = []
    for heading, url in charts:
        parts = urlsplit(url)
        names = resolve(parts.path).kwargs
        try:
            chart = PAGES[names["name"]].charts[names["chart"]](read(owner, parts.query, now))
        except TooMuchData as error:
            notes.append(f"{heading}: {error}")
        except Http404:
            notes.append(f"{heading}: it has ended.")
        else:
            found.append(Figure(heading=heading, chart=chart))
    return found


def _at_most(sections: list[Section]) -> list[Section]:
    """The sections with no more charts than one message should have."""
    left, found = MOST_IN_ALL, []
    for section in sections:
        kept = section.figures[:left]
        left -= len(kept)
        more = len(section.figures) - len(kept)
        notes = [*section.notes, f"{more} more charts are on the page."] if more else section.notes
        found.append(replace(section, figures=kept, notes=notes))
    return found


def _problems(reading: Reading, shown: Mapping[str, Any]) -> list[str]:
    currency = shown.get("currency")
    told = [shown.get("too_much", ""), currency.problem if currency else ""]
    return [*reading.asked.problems, *filter(None, told)]


def _about(reading: Reading, *, as_of: bool = False) -> str:
    """The time and the filters, as the page's bar has them; `as_of`: of what is so now, whatever the time."""
    asked = reading.asked.filters
    where = [f"{LABELS[name]}: {', '.join(value or NONE for value in values)}" for name, values in asked.where.items()]
    time = f"as of {_moment(timezone.now())}" if as_of else f"{_moment(asked.since)} to {_moment(asked.until)}"
    return " · ".join([time, *where])


def _foot(digest: Digest, owner: AbstractUser, asked_by: str) -> Iterator[str]:
    tenants = tenants_of(owner)
    of = f", of the tenants {', '.join(sorted(tenants))} alone" if tenants is not None else ""
    yield f"It shows what {owner.get_username()} may see{of}. Hours and days are those of {timezone.get_current_timezone()}."
    if asked_by:
        yield f"{asked_by} asked for it to be sent now."


def _moment(at: datetime) -> str:
    local = timezone.localtime(at)
    return f"{local.day} {local:%b %Y %H:%M}"

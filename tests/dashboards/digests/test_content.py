"""What a digest says is what its owner sees on the pages, to the last figure."""

import json
import re
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import Permission, User
from django.utils import timezone

from budgets.models import Alert, Budget, Switch, Window
from dashboards.digests import pictures
from dashboards.digests.sections import NotAllowed, make
from dashboards.models import DigestDelivery, SavedView
from dashboards.pages.charts import Chart, Series
from dashboards.pages.registry import PAGES
from gateway.models import TenantLimit
from tests.rows import make_call
from tests.world import World

pytestmark = pytest.mark.django_db


def traffic(**values):
    """Calls of two features and tenants, of yesterday and of the day before."""
    noon = timezone.localtime().replace(hour=12, minute=30)
    for days, cost in ((1, "0.25"), (1, "0.1"), (2, "0.2")):
        for tenant in ("acme", "umbrella"):
            at = noon - timedelta(days=days)
            make_call(
                at=at, feature=f"f.{tenant}", tenant=tenant, cost_usd=Decimal(cost), entities={"PERSON": 1}, **values
            )
    make_call(at=noon - timedelta(days=1), feature="f.acme", tenant="acme", outcome="timeout")


def window(**scope):
    now = timezone.now()
    budget = Budget.objects.create(limit=10, **scope)
    return Window.objects.create(
        budget=budget, starts_at=now - timedelta(days=2), ends_at=now + timedelta(days=2), spent=4
    )


def delivery(digest):
    return DigestDelivery(digest=digest, way="email", due_at=timezone.now())


def view(owner, page, query="range=7d", **values):
    return SavedView.objects.create(owner=owner, page=page, name=f"My {page}", query=query, **values)


def on_page(client, section):
    """What the page that a section links to shows."""
    parts = urlsplit(section.url)
    answer = client.get(f"{parts.path}?{parts.query}")
    assert answer.status_code == 200 and not answer.context["asked"].problems
    return answer.context


def drawn(figure):
    return [(series["name"], series["values"], series["shown"]) for series in figure.as_json()["series"]]


def test_its_figures_are_those_of_the_pages(digest, admin_user, admin_client, site):
    world = World("http://127.0.0.1:9/v1")
    [version] = world.prompt(world.feature("f.acme"), {"messages": [{"role": "user", "content": "x"}]})
    traffic(prompt_version=version.address)
    window(feature="f.acme")
    queries = {"spend": "range=7d&by=tenant&tenant=acme", "prompts": "range=30d&prompt=f.acme"}
    views = [view(admin_user, name, queries.get(name, "range=7d")) for name in PAGES]
    content = make(delivery(digest(views=views)))
    overview, *sections = content.sections
    assert [section.title for section in sections] == [f"{PAGES[name].title}: My {name}" for name in sorted(PAGES)]
    context = on_page(admin_client, overview)
    assert overview.tiles[1:] == context["tiles"]
    assert [entry.text for entry in overview.listings[0].entries] == [row.name for row in context["moved"]]
    charts = [*context["chart_urls"].values(), *_burn_downs(admin_client)]
    assert_same_charts(admin_client, overview, charts)
    assert overview.tiles[0].now == f"${sum(sum(s.values) for s in overview.figures[0].chart.series):.2f}" != "$0.00"
    for section in sections:
        context = on_page(admin_client, section)
        assert list(section.tiles) == list(context.get("tiles", ()))
        urls = [context["chart_url"]] if "chart_url" in context else list(context.get("chart_urls", {}).values())
        assert_same_charts(admin_client, section, urls or _burn_downs(admin_client))


def _burn_downs(client):
    return [shown.url for shown in client.get("/admin/dashboards/budgets/").context["windows"]]


def assert_same_charts(client, section, urls):
    assert len(section.figures) == len(urls) > 0
    for figure, url in zip(section.figures, urls, strict=True):
        found = json.loads(client.get(url).content)
        assert drawn(figure.chart) == [(s["name"], s["values"], s["shown"]) for s in found["series"]], figure.heading
        assert figure.heading in figure.text and all(s["name"] in figure.text for s in found["series"][:4])


def test_views_can_show_the_days_since_the_digest_before(digest, admin_user, admin_client, site):
    traffic()
    found = digest(views=[view(admin_user, "spend", "range=90d&by=tenant")], overview=False, own_ranges=False)
    [section] = make(delivery(found)).sections
    yesterday = timezone.localtime() - timedelta(days=1)
    assert section.about.startswith(f"{yesterday.day} {yesterday:%b %Y} 00:00 to ")
    assert "by=tenant" in section.url and section.url.count("range=") == 1
    assert list(section.tiles) == on_page(admin_client, section)["tiles"]


def test_at_the_first_moment_of_a_month_it_is_about_the_month_before(digest, site):
    traffic()
    first = timezone.localtime().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    found = digest(every="month", hour=0)
    content = make(DigestDelivery(digest=found, way="email", due_at=first))
    assert content.when == f"{first - timedelta(days=1):%B %Y}"
    tiles = {tile.label: tile.now for tile in content.sections[0].tiles}
    assert tiles["Spend today"] == tiles["Spend this month"] == "$0.00"


def test_it_has_alerts_that_are_open_and_switches_in_force(digest, site):
    for key, over in (("open", None), ("over", timezone.now())):
        Alert.objects.create(kind="k", severity="warning", dedup_key=key, summary=f"It is {key}.", resolved_at=over)
    Switch.objects.create(scope="feature", value="f", reason="wrong answers", set_by="ada")
    lists = {listing.heading: listing.entries for listing in make(delivery(digest())).sections[0].listings}
    [alert], [switch] = lists["Open alerts"], lists["Kill switches in force"]
    assert alert.text == "It is open." and alert.url.startswith(
        "https://gate.example.com/admin/tollhouse_budgets/alert/"
    )
    assert "wrong answers – ada" in switch.detail
    assert "no figures" not in str(lists)


def test_who_is_limited_to_tenants_has_theirs_alone(digest, person):
    traffic()
    window(tenant="umbrella")
    bob = person("bob", "view_feature", "view_call", "view_window", "view_alert")
    Alert.objects.create(kind="k", severity="info", dedup_key="u", summary="of umbrella", tenant="umbrella")
    TenantLimit.objects.create(user=bob, tenants=["acme"])
    found = digest(owner=bob, views=[view(bob, "spend", "range=7d&by=tenant"), view(bob, "budgets")])
    content = make(delivery(found))
    assert (
        "umbrella" not in str(content) and "f.acme" in str(content) and "of the tenants acme alone" in content.foot[0]
    )
    TenantLimit.objects.all().delete()
    found.refresh_from_db()  # with an owner that is read again, as a worker has it
    assert "umbrella" in str(make(delivery(found)))


def test_what_the_owner_may_not_see_any_more_is_not_sent(digest, person, admin_user):
    bob = person("bob", "view_feature", "view_window")
    found = digest(owner=bob, views=[view(bob, "budgets"), shared := view(admin_user, "spend", shared=True)])

    def refused():
        found.owner = User.objects.filter(username="bob").first()
        with pytest.raises(NotAllowed) as error:
            make(delivery(found))
        return str(error.value)

    make(delivery(found))
    SavedView.objects.filter(pk=shared.pk).update(shared=False)
    assert refused() == "Its owner, bob, may not see the view “My spend” of Spend any more."
    shared.delete()
    bob.user_permissions.remove(Permission.objects.get(codename="view_window"))
    assert "may not see the view “My budgets” of Budgets" in refused()
    SavedView.objects.all().delete()
    bob.user_permissions.clear()
    assert "may not see the overview: the permission tollhouse_gateway.view_feature is missing" in refused()
    User.objects.filter(pk=bob.pk).update(is_active=False)
    assert refused() == "Its owner, bob, may not log in here any more."
    bob.delete()
    assert "has no owner any more" in refused()


def test_without_anything_to_show_it_says_so(digest, admin_user):
    found = digest(views=[view(admin_user, "spend")], overview=False)
    [section] = make(delivery(found)).sections
    assert section.notes == ["There is nothing to show in this time."] and not section.figures
    SavedView.objects.all().delete()
    with pytest.raises(NotAllowed, match="views were deleted"):
        make(delivery(found))


def test_images_have_the_colours_of_the_pages():
    root = Path(pictures.__file__).parents[1] / "static" / "tollhouse"
    blocks = re.findall(r"\{([^{}]*--th-c0[^{}]*)\}", (root / "dashboards.css").read_text())
    theme = re.findall(r"\{([^{}]*--th-card:[^{}]*)\}", (root / "theme.css").read_text())
    for palette, css in ((pictures.LIGHT, blocks[0] + theme[0]), (pictures.DARK, blocks[1] + theme[1])):
        known = dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", css))
        assert list(palette.series) == [known[f"th-c{n}"] for n in range(9)]
        assert palette.tones == {name: known[f"th-tone-{name}"] for name in palette.tones}
        base = {"card": "th-card", "text": "body-fg", "quiet": "body-quiet-color", "line": "hairline-color"}
        assert all(getattr(palette, field) == known[name] for field, name in base.items())


@pytest.mark.parametrize("kind", ["bars", "lines"])
@pytest.mark.parametrize("values", [[3.0, -0.5, None, 2.0], [0, 0, 0, 0], [1e-7, 2e9, 5, 1]])
def test_any_figures_and_names_can_be_drawn(kind, values):
    now = timezone.now()
    spans = [(now + timedelta(hours=n), now + timedelta(hours=n + 1)) for n in range(len(values))]
    names = ["$a_b$ x^2", "日本語 \u202e名", "w" * 300, "plain"]
    series = [Series(name=name, values=values, shown=["x"] * len(values)) for name in names]
    image = pictures.draw(Chart(kind=kind, unit="money", prefix="$", spans=spans, series=series), heading="$1_000")
    assert image.startswith(b"\x89PNG")
    assert int.from_bytes(image[16:20]) == pictures.WIDTH * pictures.SCALE

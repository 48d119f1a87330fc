"""Prompts in the admin: what changed, where it is live, how it moves, and the playground."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.utils import timezone

from budgets.models import Budget, Window
from gateway.ledger.partitions import EXISTING, SPANS, missing
from gateway.models import AuditEntry, Call, Deployment, PromptVersion, Variant
from gateway.prompts.deploy import history, move
from gateway.prompts.playground import budget
from tests.gateway.prompts.authored import author
from tests.rows import make_call

PLAYGROUND = "/admin/tollhouse_gateway/promptversion/playground/"
DRAFT = '[[messages]]\nrole = "user"\ncontent = "{}"\n'
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def one(world):
    """A version that is live alone."""
    version = author(world.feature("support.reply"), "Be brief.\nBe kind.")
    move(version.prompt, {version: 100}, actor="ada", reason="first")
    return version


@pytest.fixture
def two(one):
    return author(one.prompt.feature, "Be brief.\nBe polite & <b>warm</b>.")


@pytest.fixture
def staff(client, django_user_model):
    """Logs somebody in with just these permissions."""

    def log_in(*codenames):
        user = django_user_model.objects.create_user("bob", password="x", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        client.force_login(user)
        return client

    return log_in


def make_partition(at):
    with connection.cursor() as cursor:
        cursor.execute(EXISTING, [list(SPANS)])
        for statement in missing([at], {name for (name,) in cursor.fetchall()}):
            cursor.execute(statement.as_string(cursor.connection))


def page_of(row):
    return f"/admin/tollhouse_gateway/{row._meta.model_name}/{row.pk}/change/"


def text_of(answer):
    assert answer.status_code == 200
    return answer.content.decode()


def live():
    return {v.version.pk: v.weight for v in Variant.objects.select_related("version")}


def posted(client, deployment, **values):
    """The deployment's form as the page shows it, sent with these values."""
    form = client.get(page_of(deployment)).context["form"]
    weights = {name: form[name].value() or 0 for name in form.fields if name.startswith("weight_")}
    return client.post(page_of(deployment), {"seen": form["seen"].value(), **weights, **values}, follow=True)


def test_a_version_s_page_shows_what_changed_from_the_live_one(admin_client, one, two):
    text = text_of(admin_client.get(page_of(two)))
    assert f'What changed from <a href="{page_of(one)}"><code>{one}' in text
    assert "<del>Be kind.</del>" in text and "<ins>Be polite &amp; &lt;b&gt;warm&lt;/b&gt;.</ins>" in text
    assert 'aria-label="added">+<' in text and "not live" in text
    text = text_of(admin_client.get(page_of(one)))
    assert f'since <time datetime="{history(one.prompt)[0].at.strftime("%Y-%m-%dT%H:%M")}' in text
    three = author(one.prompt.feature, "Be brief.\nBe kind.\nBe quick.")
    text = text_of(admin_client.get(f"{page_of(three)}?against={two.pk}"))
    assert "<ins>Be kind.</ins>" in text and "<ins>Be quick.</ins>" in text


def test_figures_count_the_version_s_traffic_of_the_period(admin_client, one, two):
    now = timezone.now()
    ours = {"feature": "support.reply", "prompt_version": one.address}
    for outcome, latency in (("ok", 100.0), ("truncated", 300.0), ("timeout", 9000.0), ("refused_budget", 1.0)):
        make_call(**ours, outcome=outcome, latency_ms=latency, cost_usd=Decimal("0.25"))
    make_partition(now - timedelta(days=10))
    make_call(**ours, at=now - timedelta(days=10), cost_usd=Decimal(1))
    make_call(**ours, source="playground")
    make_call(feature="other", prompt_version=one.address)
    figures = admin_client.get(page_of(one)).context["figures"]
    assert (figures.calls, figures.cost_usd, figures.errors, figures.p50_ms) == (4, Decimal(1), 1, 200.0)
    assert admin_client.get(f"{page_of(one)}?days=30").context["figures"].cost_usd == Decimal(2)
    rows = admin_client.get(f"{page_of(Deployment.objects.get())}?days=30").context["rows"]
    assert [(row.version, row.figures.calls) for row in rows] == [(one, 5), (two, 0)]


def test_the_pages_cost_the_same_number_of_queries_whatever_they_show(
    admin_client, one, two, django_assert_max_num_queries
):
    for number in range(10):
        other = author(one.prompt.feature, f"Be number {number}.")
        move(one.prompt, {one: 90, other: 10}, actor="ada", reason="next")
    with django_assert_max_num_queries(16):
        text_of(admin_client.get(page_of(Deployment.objects.get())))
    with django_assert_max_num_queries(16):
        text_of(admin_client.get(page_of(one)))
    with django_assert_max_num_queries(12):
        text_of(admin_client.get("/admin/tollhouse_gateway/promptversion/"))
    with django_assert_max_num_queries(12):
        text_of(admin_client.get("/admin/tollhouse_gateway/deployment/"))


def test_weights_are_set_with_a_reason(admin_client, one, two):
    deployment = Deployment.objects.get()
    text = text_of(posted(admin_client, deployment, **{f"weight_{two.pk}": 10, "reason": "a ramp"}))
    assert "a ramp" in text and live() == {one.pk: 100, two.pk: 10}
    entry = AuditEntry.objects.filter(action="deployment.move").first()
    assert (entry.actor, entry.reason) == ("admin", "a ramp")
    assert entry.detail["from"] == [{"version": one.address, "weight": 100}]


def test_one_version_goes_live_alone_and_a_roll_back_puts_back_what_was(admin_client, one, two):
    deployment = Deployment.objects.get()
    posted(admin_client, deployment, alone=two.pk, reason="two wins")
    assert live() == {two.pk: 100}
    text = text_of(admin_client.get(page_of(deployment)))
    assert f"Roll back to {one.short}" in text
    posted(admin_client, deployment, roll_back=1, reason="two is rude")
    assert live() == {one.pk: 100}
    assert [entry.reason for entry in history(one.prompt)] == ["two is rude", "two wins", "first"]
    form = admin_client.get(f"{page_of(deployment)}?put_back={history(one.prompt)[1].id}").context["form"]
    assert (form[f"weight_{one.pk}"].value(), form[f"weight_{two.pk}"].value()) == (0, 100)


@pytest.mark.parametrize(
    "values, problem",
    [
        ({"reason": " "}, "Say why it moves"),
        ({"reason": "why", "weight_{one}": 0}, "At least one version has to be live"),
        ({"reason": "why", "weight_{one}": "x"}, "Enter a whole number"),
        ({"reason": "why", "weight_{one}": -1}, "greater than or equal to 0"),
        ({"reason": "why", "alone": "999999"}, "At least one version has to be live"),
        ({"reason": "why", "roll_back": 1}, "Nothing was live for support.reply before"),
        ({"reason": "why", "weight_{one}": 50, "seen": "2020-01-01T00:00:00+00:00"}, "moved by somebody else"),
        ({"reason": "why", "seen": "nonsense"}, "Open this page again"),
    ],
)
def test_what_cannot_move_says_why_and_stays(admin_client, one, values, problem):
    values = {name.format(one=one.pk): value for name, value in values.items()}
    assert problem in text_of(posted(admin_client, Deployment.objects.get(), **values))
    assert live() == {one.pk: 100} and AuditEntry.objects.count() == 1


def test_a_version_of_another_prompt_cannot_be_smuggled_in(admin_client, world, one):
    other = author(world.feature("other"), "x")
    deployment = one.prompt.deployment
    posted(admin_client, deployment, **{f"weight_{other.pk}": 50, "reason": "why"})
    posted(admin_client, deployment, alone=other.pk, reason="why")
    assert live() == {one.pk: 100}


def test_who_may_look_and_who_may_move(client, staff, one, two):
    deployment = Deployment.objects.get()
    assert client.get(page_of(deployment)).status_code == 302
    staff("view_deployment")
    assert "not move them" in text_of(client.get(page_of(deployment)))
    answer = client.post(
        page_of(deployment), {"reason": "why", "alone": two.pk, "seen": deployment.moved_at.isoformat()}
    )
    assert answer.status_code == 403 and live() == {one.pk: 100}
    assert client.get(page_of(one)).status_code == 403
    assert client.get(PLAYGROUND).status_code == 403


def test_deployments_and_versions_are_not_added_edited_or_deleted_by_django_s_own_forms(admin_client, one):
    for row in (one, Deployment.objects.get()):
        base = f"/admin/tollhouse_gateway/{row._meta.model_name}/"
        assert admin_client.get(f"{base}add/").status_code == 403
        assert admin_client.post(f"{base}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    assert admin_client.get("/admin/tollhouse_gateway/promptversion/999999/change/").status_code == 404
    assert admin_client.get("/admin/tollhouse_gateway/deployment/999999/change/").status_code == 404


def draft(client, version, content, variables="{}", **buttons):
    return client.post(f"{PLAYGROUND}?version={version.pk}", {"content": content, "variables": variables, **buttons})


def test_the_playground_offers_the_version_with_the_names_of_its_variables(admin_client, one):
    form = admin_client.get(f"{PLAYGROUND}?version={one.pk}").context["form"]
    assert form["variables"].value() == '{\n  "ticket": ""\n}'
    assert "Be kind." in form["content"].value()


def test_a_draft_is_rendered_and_escaped(admin_client, one):
    page = draft(admin_client, one, DRAFT.format("Hello {{ name }}"), '{"name": "<script>alert(1)</script>"}', render=1)
    text = text_of(page)
    # Reports of errors, as Django mails them, leave out what was tried.
    assert set(page.wsgi_request.sensitive_post_parameters) == {"variables", "content"}
    assert "Hello &lt;script&gt;alert(1)&lt;/script&gt;" in text and "<script>alert" not in text
    assert "draft <code>" in text
    assert not Call.objects.exists() and PromptVersion.objects.count() == 1


@pytest.mark.parametrize(
    "content, variables, problems",
    [
        (
            "{{ name }} {{ order }}",
            '{"nam": 1}',
            ["The prompt needs name, order; given were nam.", "The prompt does not use nam; it uses name, order."],
        ),
        ("{{ name", "{}", ["Line 3: The prompt is no valid template"]),
        ("x", "[1]", ["Write an object with a value for each variable"]),
        ("x", "{", ["This is no JSON"]),
        ("x", "[" * 100_000, ["This is nested too deeply"]),
        (
            "{% for a in range(1000) %}{% for b in range(1000) %}{{ a }}{{ b }}{% endfor %}{% endfor %}",
            "{}",
            ["It could not be rendered", "longer than"],
        ),
    ],
)
def test_what_is_wrong_with_a_draft_is_told_by_name(admin_client, one, content, variables, problems):
    text = text_of(draft(admin_client, one, DRAFT.format(content), variables, run=1))
    for problem in problems:
        assert problem in text
    assert not Call.objects.exists()


def test_a_run_is_a_call_in_the_playground_s_own_budget(admin_client, world, one):
    world.feature("elsewhere", "echo", "other")
    answer = draft(admin_client, one, DRAFT.format("Say {{ x }}"), '{"x": "<b>hi</b>"}', run=1, route="elsewhere")
    text = text_of(answer)
    assert "Say &lt;b&gt;hi&lt;/b&gt;" in text and "<b>hi" not in text
    call = Call.objects.get()
    assert (call.source, call.key, call.feature, call.route) == (
        "playground",
        "playground",
        "support.reply",
        "elsewhere",
    )
    assert (call.prompt_version, call.variant) == (answer.context["draft"], "playground")
    assert call.user_ref and call.outcome == "ok"
    window = Window.objects.get(budget=budget())
    assert window.budget.limit == 1 and window.spent == call.cost_usd > 0 and window.held == 0
    assert not one.prompt.versions.filter(origin="observed").exists()


def test_a_run_that_does_not_fit_the_budget_is_refused(admin_client, world, provider, one):
    Budget.objects.create(key="playground", period="month", limit=Decimal("0.000001"))
    text = text_of(draft(admin_client, one, DRAFT.format("x"), run=1))
    assert "budget_exceeded" in text and provider.requests == []
    assert Budget.objects.count() == 1 and Call.objects.get().outcome == "refused_budget"


@pytest.mark.parametrize(
    "values",
    [
        {"active": False},
        {"on_hard": "route:support.reply"},
        {"metric": "calls"},
        {"each": ["user"]},
        {"period": "range", "starts_on": "2026-01-01", "ends_on": "2026-01-02"},
    ],
)
def test_without_a_budget_in_force_nothing_runs(admin_client, provider, one, values):
    Budget.objects.filter(pk=budget().pk).update(**values)
    text = text_of(draft(admin_client, one, DRAFT.format("x"), run=1))
    assert "budget is off" in text and "nothing runs" in text
    assert provider.requests == [] and Budget.objects.count() == 1


def test_who_may_run_and_who_may_save(staff, provider, one):
    client = staff("view_promptversion")
    text = text_of(draft(client, one, DRAFT.format("x"), render=1))
    assert "not run them" in text and 'name="run"' not in text and 'name="save"' not in text
    for button in ("run", "save"):
        assert draft(client, one, DRAFT.format("x"), **{button: 1}).status_code == 403
    assert provider.requests == [] and PromptVersion.objects.count() == 1 and not Budget.objects.exists()


def test_a_draft_is_saved_as_a_version_that_is_not_live(admin_client, one):
    answer = draft(admin_client, one, DRAFT.format("Hello {{ name }}"), '{"name": ""}', save=1)
    new = PromptVersion.objects.first()
    assert answer.url == page_of(new) and live() == {one.pk: 100}
    assert (new.origin, new.created_by, new.content["variables"]) == ("admin", "admin", ["name"])
    assert AuditEntry.objects.filter(action="promptversion.create").count() == 1
    draft(admin_client, one, DRAFT.format("Hello {{ name }}"), '{"name": ""}', save=1)
    assert PromptVersion.objects.count() == 2
    assert AuditEntry.objects.filter(action="promptversion.create").count() == 1


def test_the_playground_without_a_prompt_says_how_to_write_one(admin_client, world):
    assert "No prompt to play with" in text_of(admin_client.get(PLAYGROUND))
    assert "No prompt to play with" in text_of(admin_client.get(f"{PLAYGROUND}?version=7"))

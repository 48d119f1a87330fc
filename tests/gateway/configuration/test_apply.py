"""Catalog files: applied whole or not at all, exported to the same again."""

import tomllib
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
import tomli_w
from django.core.management import CommandError, call_command
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from budgets.models import Budget, RateLimit
from gateway.configuration.apply import Refused, apply
from gateway.configuration.document import Document
from gateway.configuration.export import export
from gateway.models import AuditEntry, Feature, PromptVersion, Provider, Route, Variant
from gateway.prices.book import PriceBook

DEMO = Path(__file__).resolve().parents[3] / "deploy" / "catalog" / "demo.toml"
pytestmark = pytest.mark.django_db

BASE = """
[providers.local]
kind = "openai"
base_url = "https://models.example.com/v1"

[routes.fast]
targets = ["local/small"]

[features."support.reply"]
route = "fast"
"""


def applied(text, **options):
    shown = []
    apply(Document("c.toml", text), actor="tester", dry_run=False, show=shown.extend, **options)
    return [str(change) for change in shown]


def refused(text):
    with pytest.raises(Refused) as raised:
        applied(text)
    return [str(problem) for problem in raised.value.problems]


def test_the_demo_applies_and_a_second_time_changes_nothing(settings):
    settings.TOLLHOUSE = {"ALLOW_PRIVATE_UPSTREAMS": True}
    first, second = StringIO(), StringIO()
    call_command("catalog", "apply", str(DEMO), stdout=first, stderr=StringIO())
    assert "+ feature support.reply" in first.getvalue()
    call_command("catalog", "apply", str(DEMO), stdout=second, stderr=StringIO())
    assert second.getvalue().splitlines() == ["= 7 unchanged", "Applied."]
    assert Variant.objects.get().version.content["variables"] == ["ticket"]
    assert AuditEntry.objects.filter(action="catalog.apply").count() == 1


@pytest.mark.parametrize("name", ["openai", "anthropic"])
def test_the_vendors_catalogs_apply_and_their_models_have_prices(name):
    call_command("catalog", "apply", str(DEMO.with_name(f"{name}.toml")), stdout=StringIO(), stderr=StringIO())
    call_command("prices", "sync", stdout=StringIO())
    target = Route.objects.get(name=name).targets.get()
    assert PriceBook.load().find(target.provider.name, target.model, datetime.now(UTC)) is not None


def test_a_dry_run_shows_the_plan_and_keeps_nothing(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text(BASE)
    out = StringIO()
    call_command("catalog", "apply", str(file), dry_run=True, stdout=out)
    assert "+ provider local" in out.getvalue()
    assert not Provider.objects.exists() and not AuditEntry.objects.exists()


def test_changes_are_shown_and_what_is_not_mentioned_stays():
    applied(BASE + '[[budgets]]\nfeature = "support.reply"\nlimit = 25\n')
    changes = applied('[[budgets]]\nfeature = "support.reply"\nlimit = 30.5\n')
    assert changes == ["~ budget feature support.reply usd/day: limit 25.000000000 → 30.5"]
    assert Budget.objects.get().limit == Decimal("30.5")
    assert Feature.objects.count() == 1


def test_a_rate_limit_is_known_by_its_scope_and_exported_as_it_is():
    limit = '[[rate_limits]]\nfeature = "support.reply"\neach = "tenant"\n'
    applied(BASE + limit + "requests_per_minute = 60\nburst_s = 10\n")
    changes = applied(limit + "requests_per_minute = 90\ntokens_per_minute = 1000\n")
    assert changes == [
        "~ rate limit feature support.reply, each tenant: requests_per_minute 60 → 90, tokens_per_minute None → 1000"
    ]
    row = RateLimit.objects.get()
    assert (row.requests_per_minute, row.tokens_per_minute, row.concurrent, row.burst_s) == (90, 1000, None, 10)
    exported = tomllib.loads(export(with_secrets=False))["rate_limits"]
    assert exported == [{
        "feature": "support.reply", "each": "tenant", "requests_per_minute": 90, "tokens_per_minute": 1000,
        "burst_s": 10, "active": True,
    }]  # fmt: skip
    assert applied(export(with_secrets=False))[-1] == "= rate limit feature support.reply, each tenant"


def test_a_new_content_makes_a_new_version_and_the_old_one_stays():
    prompt = '[prompts."support.reply"]\nmessages = [{{role = "user", content = "{}"}}]\ndeploy = true\n'
    applied(BASE + prompt.format("one {{ x }}"))
    changes = applied(prompt.format("two {{ x }}"))
    assert [c[:20] for c in changes] == ["+ prompt support.rep", "~ deployment of supp"]
    assert PromptVersion.objects.count() == 2
    assert Variant.objects.get().version.content["messages"][0]["content"] == "two {{ x }}"
    applied(prompt.format("one {{ x }}"))
    assert PromptVersion.objects.count() == 2
    assert AuditEntry.objects.filter(action="deployment.move").count() == 3


def test_a_feature_without_a_policy_has_the_default_one():
    applied(BASE)
    assert Feature.objects.get().policy.name == "default"
    assert Feature.objects.get().policy.outbound == "pseudonymise"


def test_a_changed_target_list_replaces_the_old_one():
    applied(BASE)
    changes = applied('[routes.fast]\ntargets = ["local/other", "local/small"]\nretries = 3\n')
    assert "~ route fast: retries 1 → 3, targets local/small → local/other, local/small" in changes
    assert [t.model for t in Route.objects.get().targets.all()] == ["other", "small"]


def test_what_fails_for_another_mistake_is_not_told_again():
    assert len(refused(BASE.replace("https://models", "ftp://models"))) == 1


def test_a_split_deployment_is_pointed_out_in_exports():
    prompt = '[prompts."support.reply"]\nmessages = [{{role = "user", content = "{}"}}]\n'
    applied(BASE + prompt.format("one") + "deploy = true")
    assert "split" not in export(with_secrets=False)
    applied(prompt.format("two"))
    other = PromptVersion.objects.exclude(variants__isnull=False).get()
    Variant.objects.create(deployment=Variant.objects.get().deployment, version=other, name="b", weight=10)
    assert "# Deployments of support.reply are split; only the largest share is here" in export(with_secrets=False)


def test_keys_are_encrypted_bound_to_their_host_and_left_out_of_exports():
    applied(BASE.replace('kind = "openai"', 'kind = "openai"\napi_key = "s3cret-key"'))
    assert "s3cret" not in Provider.objects.get().api_key_encrypted
    assert "s3cret" not in export(with_secrets=False)
    assert "Keys stored for local are left out" in export(with_secrets=False)
    assert "s3cret-key" in export(with_secrets=True)
    assert applied(BASE.replace('kind = "openai"', 'kind = "openai"\napi_key = "s3cret-key"'))[0] == "= provider local"


@pytest.mark.parametrize(
    "text, words",
    [
        ("[providers.local", "c.toml:1: This is not valid TOML"),
        ('\n[providrs.local]\nkind = "openai"', "c.toml:2: 'providrs' is not known here; did you mean providers?"),
        (BASE + "\n[routes.slow]\ntargts = []", "c.toml:13: 'targts' is not known here; did you mean targets?"),
        (BASE.replace('"openai"', '"opnai"'), "c.toml:3: The kind 'opnai' is not known; there are: openai, anthropic, azure, litellm, sandbox."),
        (BASE.replace('route = "fast"', 'route = "fats"'), "c.toml:10: There is no 'fats' in routes; there are: fast."),
        (BASE.replace('["local/small"]', '["small"]'), "c.toml:7: 'small' is no target; write provider/model."),
        (BASE.replace('["local/small"]', '["nobody/small"]'), "c.toml:7: There is no 'nobody' in providers"),
        (BASE + '[[budgets]]\nfeature = "f"', "c.toml:11: limit is missing"),
        (BASE + '[[budgets]]\nlimit = -1', "c.toml:12: budget everything usd/day: Ensure this value is greater than or equal to 0."),
        (BASE + '[[budgets]]\nlimit = "1"', "c.toml:12: limit must be a number, not '1'."),
        (BASE + '[[budgets]]\nlimit = 1\nperiod = "year"', "c.toml:13: budget everything usd/year: Value 'year' is not a valid choice."),
        (BASE + '[[budgets]]\nlimit = 1\ntimezone = "Mars"', "'Mars' is no time zone"),
        (BASE + '[[budgets]]\nlimit = 1\non_hard = "route:nope"', "c.toml:13: There is no 'nope' in routes"),
        (BASE + '[[rate_limits]]\nfeature = "f"', "c.toml:11: rate limit feature f: Say what is limited: requests_per_minute,"),
        (BASE + '[[rate_limits]]\nconcurrent = 0', "c.toml:12: rate limit everything: Ensure this value is greater than or equal to 1."),
        (BASE + '[[rate_limits]]\nconcurrent = 1\neach = "model"', "c.toml:13: rate limit each model: Value 'model' is not a valid"),
        (BASE + '[[rate_limits]]\nkey = "a"\neach = "key"\nconcurrent = 1', "c.toml:13: rate limit key a, each key: Name one key or limit"),
        (BASE + '[[rate_limits]]\nkey = "a"\nfeature = "f"\neach = "user"\nconcurrent = 1', "at most 2 of feature, tenant, key, user, cohort"),
        (BASE + '[[rate_limits]]\nrequests_per_minute = 1.5', "c.toml:12: requests_per_minute must be a whole number"),
        (BASE + '[[rate_limits]]\nconcurrent = 1\nburst_s = 3601', "less than or equal to 3600"),
        (BASE.replace("https://models.example.com/v1", "http://127.0.0.1:1/v1"), "c.toml:4: provider local: 127.0.0.1 is not a public"),
        (BASE.replace("https://models.example.com/v1", "http://169.254.169.254/v1"), "169.254.169.254 is not a public address"),
        (BASE.replace("https://models", "https://me:pw@models"), "c.toml:4: provider local: a base_url holds neither credentials"),
        (BASE.replace("[routes.fast]", 'api_key_env = "DATABASE_URL"\n[routes.fast]'), "c.toml:6: provider local: The variable DATABASE_URL may not"),
        (BASE + '[prompts."support.reply"]\nmessages = [{role = "user", content = "{{ x"}]', "c.toml:12: prompt support.reply: The prompt is no valid"),
        (BASE + '[prompts.nope]\nmessages = [{role = "user", content = "x"}]', "There is no 'nope' in features"),
        ('[[prices]]\nprovider = "p"\nmodel = "m"\ninput_usd_per_mtok = 2000001', "more than one dollar a token"),
        ('[policies.p]\nentities = ["PERSONS"]', "entities: 'PERSONS' is not known"),
        (BASE + 'description = "a\\u0000b"', "c.toml:11: PostgreSQL stores no text with the character U+0000"),
        (BASE + '[prompts."support.reply"]\nmessages = [{role = "user", content = "\\u0000"}]', "c.toml:12: PostgreSQL stores no text"),
        (BASE + "[routes.b]\ntimeout_s = 1e400", "c.toml:12: timeout_s must be a number"),
        (BASE + "[routes.b]\ntimeout_s = nan", "c.toml:12: timeout_s must be a number"),
        (BASE.replace("local/small", "local/" + "x" * 300), "c.toml:7: The model xxxxxxxxxxxxxxxxxxxx… has more than 200 characters."),
        ("[[budgets]]\nlimit = " + "9" * 5000, "c.toml:1: A number is too long"),
        ("[[budgets]]\nlimit = 1e99999999999999999999", "c.toml:1: A number is too long"),
        ('[prompts.a]\nx = \"\"\"\n[[budgets]]\nlimit = 2\n[a = {} #]\n\"\"\"\n[[budgets]]\nlimit = "1"', "c.toml:8: limit must be a number"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_file_and_line(text, words, settings):
    settings.TOLLHOUSE = {}
    assert any(words in problem for problem in refused(text)), refused(text)
    assert not Provider.objects.exists()


def test_all_that_is_wrong_is_told_at_once():
    assert len(refused('[[budgets]]\nlimit = -1\n\n[[budgets]]\nlimit = -2\nmetric = "calls"')) == 2


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(CommandError, match="cannot be read: No such file"):
        call_command("catalog", "apply", str(tmp_path / "none.toml"))


texts = (
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)
    .map(str.strip)
    .filter(bool)
)
slugs = st.from_regex(r"\A[a-z0-9][a-z0-9._-]{0,20}\Z")
money = st.decimals(min_value=0, max_value=10**6, places=6)


class RoundTrip(TestCase):
    """Whatever can be configured exports to a file that configures it again."""

    @settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(slugs, slugs, texts, texts, money, st.integers(1, 100), st.integers(1, 10**6), money, st.booleans(), texts)
    def test_export_and_apply(self, provider, slug, words, model, limit, percent, tokens, price, deployed, content):
        document = {
            "providers": {provider: {"kind": "openai", "base_url": "https://x.example.com/v1", "api_key": words}},
            "routes": {slug: {"targets": [f"{provider}/{model}"], "timeout_s": 1.5}},
            "features": {slug: {"route": slug, "description": words, "max_output_tokens": tokens}},
            "prompts": {
                slug: {"messages": [{"role": "user", "content": content.replace("{", "")}], "deploy": deployed}
            },
            "budgets": [{"feature": slug, "limit": limit, "soft_percent": percent}],
            "prices": [{"provider": provider, "model": model, "input_usd_per_mtok": price}],
        }
        applied(tomli_w.dumps(document))
        first = export(with_secrets=True)
        assert tomllib.loads(first)
        assert all(change.startswith("=") for change in applied(first)), applied(first)
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            # Without the triggers that keep prices and versions from being emptied out.
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(
                "TRUNCATE tollhouse_provider, tollhouse_route, tollhouse_policy, tollhouse_budget, tollhouse_price CASCADE"
            )
            cursor.execute("SET LOCAL session_replication_role = DEFAULT")
        applied(first)
        assert export(with_secrets=True) == first


def test_a_prompt_with_nulls_is_exported_and_applied_again():
    schema = """'[{"type": "function", "function": {"parameters": {"enum": ["a", null]}}}]'"""
    prompt = f'[prompts."support.reply"]\nmessages = [{{role = "user", content = "x"}}]\ntools_json = {schema}\ndeploy = true\n'
    applied(BASE + prompt)
    assert PromptVersion.objects.get().content["tools"][0]["function"]["parameters"] == {"enum": ["a", None]}
    assert all(change.startswith("=") for change in applied(export(with_secrets=False)))
    assert "tools_json is no JSON" in refused(prompt.replace("null]", "nul]"))[0]


WHOLE = """
[providers.rehearsal]
kind = "sandbox"
options = {answer = "Yes.", latency_ms = 200, faults = {"503" = 0.1}}
max_concurrent = 8

[routes.careful]
targets = ["rehearsal/any"]
hedge_after_s = 1.5
reply_timeout_s = 12.5

[features."support.reply"]
route = "careful"
phase = "beta"
rollout_tenants = ["acme"]
rollout_cohorts = ["staff"]
rollout_percent = 10
disclosure = "Drafted by a machine."
cache_ttl_s = 60

[[prices]]
provider = "rehearsal"
model = "*"
input_usd_per_mtok = 1
"""


def test_everything_that_a_file_can_say_comes_back():
    applied(WHOLE)
    text = export(with_secrets=False)
    again = applied(text)
    assert all(line.startswith("=") for line in again), again
    provider, route, feature = Provider.objects.get(), Route.objects.get(), Feature.objects.get()
    assert provider.options == {"answer": "Yes.", "latency_ms": 200, "faults": {"503": 0.1}} and provider.base_url == ""
    assert (provider.max_concurrent, route.hedge_after_s, route.reply_timeout_s) == (8, 1.5, 12.5)
    assert (feature.phase, feature.rollout_tenants, feature.rollout_percent, feature.cache_ttl_s) == (
        "beta",
        ["acme"],
        10,
        60,
    )
    assert PriceBook.load().find("rehearsal", "whatever", datetime.now(UTC)) is not None


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("latency_ms = 200", "latency = 200", "latency is no option of this kind"),
        ('kind = "sandbox"', 'kind = "openai"', "no option of this kind"),
        ("max_concurrent = 8", "max_concurrent = 0", "greater than or equal to 1"),
        ("hedge_after_s = 1.5", "hedge_after_s = 0", "greater than or equal to 0.001"),
        ('phase = "beta"', 'phase = "alpha"', "'alpha' is not a valid choice"),
        ("rollout_percent = 10", "rollout_percent = 101", "less than or equal to 100"),
        ('rollout_tenants = ["acme"]', 'rollout_tenants = [""]', "Write a list of names"),
        ("cache_ttl_s = 60", "cache_ttl_s = -1", "greater than or equal to 0"),
    ],
)
def test_mistakes_in_new_fields_are_told_too(before, after, words):
    assert before in WHOLE
    problems = refused(WHOLE.replace(before, after))
    assert any(words in problem for problem in problems), problems


def test_budgets_that_say_all_they_can_are_applied_once_and_exported_again():
    text = """
[[rates]]
currency = "EUR"
per_usd = 0.92
effective_from = 2026-01-01
source = "ECB"

[[budgets]]
each = "tenant"
limit = 5
soft_percent = [90, 50]
on_hard = "ask"

[[budgets]]
each = ["tenant", "feature"]
currency = "EUR"
period = "range"
starts_on = 2026-01-01
ends_on = 2026-03-31
limit = 5
active = false
paused_reason = "a test"
"""
    assert [change[0] for change in applied(text)] == ["+", "+", "+"]
    assert [change[0] for change in applied(text)] == ["=", "=", "="]
    assert [change[0] for change in applied(export(with_secrets=False))] == ["=", "=", "="]
    assert [b.soft_percent for b in Budget.objects.order_by("id")] == [[50, 90], [70]]
    assert Budget.objects.get(currency="EUR").each == ["feature", "tenant"]
    changes = applied(text.replace("0.92", "0.93").replace("[90, 50]", "80"))
    assert changes[:2] == ["+ rate EUR from 2026-01-01", "~ budget each tenant usd/day: soft_percent [50, 90] → [80]"]


@pytest.mark.parametrize(
    "text, words",
    [
        ("[[budgets]]\nlimit = 1\ncurrency = \"EUR\"", "c.toml:3: budget everything EUR/day: There is no rate for EUR; add one"),
        ("[[budgets]]\nlimit = 1\neach = \"tenants\"", "c.toml:3: 'tenants' is not known here; there are feature, tenant"),
        ("[[budgets]]\nlimit = 1\neach = 5", "c.toml:3: each must be a text or a list of texts, not 5."),
        ("[[budgets]]\nlimit = 1\ntenant = \"a\"\neach = \"tenant\"", "c.toml:4: budget tenant a, each tenant usd/day: tenant cannot be"),
        ("[[budgets]]\nlimit = 1\nsoft_percent = [0]", "c.toml:3: budget everything usd/day: Shares are whole numbers from 1 to 100."),
        ("[[budgets]]\nlimit = 1\nsoft_percent = [70, true]", "c.toml:3: soft_percent must be a whole number or a list of them"),
        ("[[budgets]]\nlimit = 1\nperiod = \"range\"", "Fixed dates have a first and a last day"),
        ("[[budgets]]\nlimit = 1\nstarts_on = 2026-01-01T00:00:00", "c.toml:3: starts_on must be a date"),
        ("[[budgets]]\nlimit = 1\nmetric = \"calls\"\ncurrency = \"EUR\"", "A limit in calls has no currency"),
        ("[[rates]]\ncurrency = \"EUR\"", "c.toml:1: per_usd is missing"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_budgets_and_rates_is_told(text, words):
    assert any(words in problem for problem in refused(text)), refused(text)

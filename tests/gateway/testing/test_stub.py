"""The kit for tests of applications: no server, no provider, no row."""

import json
from decimal import Decimal

import pytest
from django.db import connection

import gateway
from gateway import errors
from gateway.models import Call, Feature
from gateway.testing import stub
from gateway.testing.plugin import llm, llm_catalog  # noqa: F401  (fixtures)

CATALOG = """
[providers.openai]
kind = "openai"
base_url = "https://api.openai.com/v1"
api_key_env = "OPENAI_API_KEY"

[routes.fast]
targets = ["openai/gpt-4o-mini", "openai/gpt-4o"]
retries = 0

[features."support.reply"]
route = "fast"
disclosure = "Drafted by a machine."

[prompts."support.reply"]
messages = [{role = "system", content = "Be kind."}, {role = "user", content = "{{ ticket }}"}]
deploy = true

[[prices]]
provider = "openai"
model = "gpt-4o-mini"
input_usd_per_mtok = 1
output_usd_per_mtok = 2
"""


@pytest.fixture
def llm_catalog(tmp_path):  # noqa: F811
    path = tmp_path / "catalog.toml"
    path.write_text(CATALOG)
    return path


def suggest_reply(ticket):
    """What an application does."""
    return gateway.complete("support.reply", {"ticket": ticket}, user=7, tenant="acme").text


def test_a_reply_and_what_was_asked(llm):  # noqa: F811
    llm.reply("Dear Ada, …")
    assert suggest_reply("Where is my order?") == "Dear Ada, …"
    [call] = llm.calls
    assert call.messages == [
        {"role": "system", "content": "Be kind."}, {"role": "user", "content": "Where is my order?"},
    ]  # fmt: skip
    assert (call.feature, call.outcome, call.tenant, call.cost_usd) == (
        "support.reply",
        "ok",
        "acme",
        Decimal("0.00014"),
    )
    assert call.reply[0]["content"] == "Dear Ada, …" and len(call.prompt_version) == 64
    assert connection.in_atomic_block and Call.objects.count() == 0 and Feature.objects.count() == 0


def test_prompts_are_rendered_for_real(llm):  # noqa: F811
    with pytest.raises(errors.PromptError, match="needs ticket"):
        gateway.complete("support.reply", {"tiket": "x"})
    assert gateway.disclosure("support.reply") == "Drafted by a machine."


def test_replies_come_in_order_and_the_last_stays(llm):  # noqa: F811
    llm.reply("one").reply("two").reply("special", feature="other")
    assert [suggest_reply("x") for _ in range(3)] == ["one", "two", "two"]


def test_a_call_without_a_reply_is_the_tests_mistake(llm):  # noqa: F811
    with pytest.raises(AssertionError, match="no reply for it"):
        suggest_reply("x")


@pytest.mark.parametrize(
    ("error", "raised", "outcome"),
    [
        (errors.BudgetExceeded, errors.BudgetExceeded, "refused_budget"),
        (errors.FeatureDisabled("Closed for today."), errors.FeatureDisabled, "refused_switch"),
        (errors.RateLimited, errors.RateLimited, "refused_rate"),
        (errors.LedgerUnavailable, errors.LedgerUnavailable, "ledger_unavailable"),
        (errors.ProviderTimeout, errors.ProviderTimeout, "timeout"),
        (400, errors.ProviderError, "provider_error"),
    ],
)
def test_failures(llm, error, raised, outcome):  # noqa: F811
    llm.fail(error)
    with pytest.raises(raised) as caught:
        suggest_reply("x")
    assert caught.value.call_id is not None or raised is errors.ProviderError or raised is errors.ProviderTimeout
    assert llm.calls[0].outcome == outcome


def test_fallback_follows_a_failed_attempt(llm):  # noqa: F811
    llm.fail(503).reply("from the second")
    assert suggest_reply("x") == "from the second"
    assert llm.calls[0].row["fallback_from"] == "openai/gpt-4o-mini" and llm.calls[0].row["model_served"] == "gpt-4o"


def test_however_often_it_fails_the_next_reply_is_the_one_that_the_test_says(llm):  # noqa: F811
    llm.fail(503)
    for _ in range(12):
        with pytest.raises(errors.ProviderError, match="status 503"):
            suggest_reply("x")
    llm.reply("well again")
    assert suggest_reply("x") == "well again"


@pytest.mark.django_db
def test_streams_tools_and_usage():
    with stub(features=["f"], rates={"input": "1000", "output": "0"}) as llm:  # noqa: F811
        llm.reply(chunks=["Dear", " Ada"], usage={"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6})
        with gateway.stream("f", messages=[{"role": "user", "content": "x"}]) as stream:
            assert [delta.text for delta in stream if delta.text] == ["Dear", " Ada"]
        assert stream.reply.text == "Dear Ada" and llm.calls[0].cost_usd == Decimal("0.005")
        llm.reply(tool_calls=[("look_up", {"id": 7})])
        reply = gateway.complete("f", messages=[{"role": "user", "content": "x"}])
        llm.reply("a  b c")
        assert reply.finish_reason == "tool_calls" and json.loads(reply.tool_calls[0]["function"]["arguments"]) == {
            "id": 7
        }
        with gateway.stream("f", messages=[{"role": "user", "content": "x"}]) as stream:
            assert "".join(delta.text for delta in stream) == "a  b c"


@pytest.mark.django_db
def test_embeddings_depend_on_their_text():
    with stub(features=["f"]) as llm:  # noqa: F811
        a, b, c = gateway.embed("f", ["x", "y", "x"]).vectors
        assert a == c != b
        llm.vectors(lambda texts: [[0.0]] * len(texts))
        assert gateway.embed("f", "x").vectors == [[0.0]]


@pytest.mark.django_db
def test_redaction_when_asked_for(llm_catalog):
    with stub(catalog=llm_catalog, redaction=True) as llm:  # noqa: F811
        llm.reply("I write to [EMAIL_ADDRESS_1].")
        assert suggest_reply("I am jane.doe@example.com") == "I write to jane.doe@example.com."
        assert "jane" not in str(llm.calls[0].messages)


@pytest.mark.django_db
@pytest.mark.parametrize("redaction", [False, True])
def test_no_call_of_a_test_is_told_from_another_and_nothing_is_written(tmp_path, redaction):
    """Neither cache nor sessions stand between a test's calls and its replies, nor do policies hide what was said."""
    strict = """
[policies.default]
outbound = "pseudonymise"
pseudonyms = "session"
entities = ["EMAIL_ADDRESS", "CREDIT_CARD"]
rules = {CREDIT_CARD = "mask"}
parts = {system = "mask"}
stored_parts = {replies = "none", prompts = "hash"}
media = "refuse"
"""
    catalog = tmp_path / "strict.toml"
    catalog.write_text(
        strict + CATALOG.replace('route = "fast"', 'route = "fast"\ncache_ttl_s = 60\npolicy = "default"')
    )
    for said in ("one", "two"):
        with stub(catalog=catalog, redaction=redaction) as llm:  # noqa: F811
            llm.reply(said)
            with gateway.context(session="s"):
                assert suggest_reply("jane@example.com pays with 4111 1111 1111 1111") == said
            [call] = llm.calls
            assert call.reply[0]["content"] == said and ("jane" in call.messages[1]["content"]) is not redaction
            assert ("4111" in call.messages[1]["content"]) is not redaction
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT count(*) FROM tollhouse_cached_reply) + (SELECT count(*) FROM tollhouse_session_map)"
        )
        assert cursor.fetchone() == (0,)


@pytest.mark.django_db
def test_media_pass_where_nothing_is_redacted(tmp_path):
    catalog = tmp_path / "media.toml"
    policy = '[policies.default]\nmedia = "refuse"\n'
    catalog.write_text(policy + CATALOG.replace('route = "fast"', 'route = "fast"\npolicy = "default"'))
    image = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    with stub(catalog=catalog) as llm:  # noqa: F811
        llm.reply("A cat.")
        assert gateway.complete("support.reply", messages=[{"role": "user", "content": image}]).text == "A cat."


@pytest.mark.django_db
async def test_in_a_coroutine_it_says_how_it_is_entered():
    with pytest.raises(RuntimeError, match="async with"), stub(features=["f"]):
        pass


@pytest.mark.django_db(transaction=True)
async def test_in_coroutines():
    async with stub(features=["f"]) as llm:  # noqa: F811
        llm.reply("hi")
        assert (await gateway.acomplete("f", messages=[{"role": "user", "content": "x"}])).text == "hi"


@pytest.mark.django_db
def test_the_gate_is_as_it_was_before(provider):
    with stub(features=["f"]):
        pass
    with pytest.raises(errors.NotFound):
        gateway.complete("f", messages=[{"role": "user", "content": "x"}])
    gateway.engine.stop()

"""Which version a call gets, and what a version may ask of the provider."""

import pytest

import gateway
from gateway import engine, errors
from gateway.models import Call, PromptVersion
from gateway.prompts.deploy import move
from gateway.prompts.versions import content_of
from tests.gateway.prompts.authored import author

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_tenant_user_or_session_keeps_its_version(world):
    one = author(world.feature("f"), "one")
    two = author(one.prompt.feature, "two")
    move(one.prompt, {one: 50, two: 50}, actor="ada", reason="an A/B test")
    for who in (
        [{"tenant": f"t{n}"} for n in range(6)]
        + [{"user": n} for n in range(6)]
        + [{"session": f"s{n}"} for n in range(6)]
    ):
        found = {gateway.complete("f", {"ticket": str(turn)}, **who).prompt_version for turn in range(3)}
        assert len(found) == 1 and found < {one.address, two.address}
    assert set(Call.objects.values_list("variant", flat=True)) == {one.short, two.short}
    # The tenant decides before the user, and the user before the session.
    assert (
        len(
            {
                gateway.complete("f", {"ticket": "x"}, tenant="t", user=n, session=str(n)).prompt_version
                for n in range(8)
            }
        )
        == 1
    )


def test_a_move_is_in_force_for_the_next_calls(world):
    one = author(world.feature("f"), "one")
    two = author(one.prompt.feature, "two")
    move(one.prompt, {one: 100}, actor="ada", reason="first")
    assert gateway.complete("f", {"ticket": "x"}).prompt_version == one.address
    move(one.prompt, {two: 100}, actor="ada", reason="next")
    engine.stop()
    assert gateway.complete("f", {"ticket": "x"}).prompt_version == two.address


def test_a_version_cannot_ask_for_more_than_is_held(world, provider):
    """Rows of versions as no author could write them: the gate bounds them all the same."""
    feature = world.feature("f", max_output_tokens=50)
    message = {"role": "user", "content": "x"}
    odd = {
        "max_tokens": 10_000,
        "max_completion_tokens": 20,
        "n": 7,
        "stream": True,
        "model": "dear",
        "temperature": 0.5,
    }
    world.prompt(feature, {"messages": [message], "parameters": odd})
    gateway.complete("f", {})
    [sent] = provider.requests
    assert (sent["max_tokens"], sent["max_completion_tokens"], sent["temperature"]) == (50, 20, 0.5)
    assert "n" not in sent and not sent.get("stream") and sent["model"] == "echo"


def test_a_caller_s_lower_limit_bounds_the_version_s(world, provider):
    world.prompt(
        world.feature("f"),
        content_of({"messages": [{"role": "user", "content": "x"}], "parameters": {"max_completion_tokens": 90}}),
    )
    gateway.complete("f", {}, max_tokens=10)
    assert (provider.requests[0]["max_tokens"], provider.requests[0]["max_completion_tokens"]) == (10, 10)


def test_both_fields_that_limit_a_reply_are_checked(world, provider):
    world.feature("f", max_output_tokens=50)
    message = {"role": "user", "content": "x"}
    with pytest.raises(errors.InvalidRequest, match="max_tokens must be a whole number from 1 to 50"):
        gateway.complete("f", messages=[message], max_completion_tokens=5, max_tokens=100_000)
    gateway.complete("f", messages=[message], max_completion_tokens=5, max_tokens=40)
    assert Call.objects.get().held_usd >= 40 * 20 / 1_000_000 * 1


@pytest.mark.parametrize("name", ["n", "stream", "model", "messages", "stream_options"])
def test_an_author_is_told_what_a_version_cannot_set(world, name):
    with pytest.raises(errors.PromptError, match=f"cannot set {name}"):
        content_of({"messages": [{"role": "user", "content": "x"}], "parameters": {name: 1}})
    assert not PromptVersion.objects.exists()

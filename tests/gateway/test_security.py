"""Keys, secrets and addresses: what is stored, and what is refused."""

import logging
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command

import gateway
from budgets.addresses import is_public
from gateway import errors, keys, secrets
from gateway.catalog import load
from gateway.models import AuditEntry, Call, Key, Payload, Provider
from gateway.providers.guard import check_url
from redaction.models import RedactionList

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_stored_secret_opens_for_its_host_only():
    token = secrets.encrypt("sk-very-secret", bound_to="api.example.com")
    assert "secret" not in token
    assert secrets.decrypt(token, bound_to="api.example.com") == "sk-very-secret"
    with pytest.raises(secrets.CannotDecrypt, match=r"not for evil\.example\.com"):
        secrets.decrypt(token, bound_to="evil.example.com")


def test_secrets_stay_readable_while_their_key_is_rotated(settings):
    settings.TOLLHOUSE = {"ENCRYPTION_KEYS": ("old",)}
    token = secrets.encrypt("x", bound_to="h")
    settings.TOLLHOUSE = {"ENCRYPTION_KEYS": ("new", "old")}
    assert secrets.decrypt(token, bound_to="h") == "x"
    settings.TOLLHOUSE = {"ENCRYPTION_KEYS": ("new",)}
    with pytest.raises(secrets.CannotDecrypt):
        secrets.decrypt(token, bound_to="h")


def test_a_provider_whose_address_was_changed_does_not_get_the_key(world):
    world.feature("f")
    Provider.objects.update(api_key_encrypted=secrets.encrypt("sk-1", bound_to="api.example.com"))
    with pytest.raises(
        errors.ProviderError, match=r"provider mock has no key: what is stored is not for .* has to be entered anew"
    ):
        gateway.complete("f", messages=[{"role": "user", "content": "x"}])
    assert Call.objects.get().outcome == "provider_error"


def test_a_missing_key_variable_is_named(world):
    world.feature("f")
    Provider.objects.update(api_key_env="NO_SUCH_API_KEY")
    with pytest.raises(errors.ProviderError, match="has no key: set the environment variable NO_SUCH_API_KEY"):
        gateway.complete("f", messages=[{"role": "user", "content": "x"}])


def test_no_other_secret_of_the_process_can_be_sent_to_a_provider(world, provider, settings, monkeypatch):
    """Whoever may edit providers chooses the address, so a row that names another variable counts as one without a key."""
    monkeypatch.setenv("SMTP_PASSWORD", "postgresql://user:pw@db/x")
    monkeypatch.setenv("SOME_API_KEY", "sk-1")
    world.feature("f")
    Provider.objects.update(api_key_env="SMTP_PASSWORD")
    with pytest.raises(
        errors.ProviderError, match=r"may not hold a provider's key; the setting PROVIDER_KEY_ENV allows \*_API_KEY"
    ):
        gateway.complete("f", messages=[{"role": "user", "content": "x"}])
    assert provider.headers == []
    Provider.objects.update(api_key_env="SOME_API_KEY")
    [target] = load().routes["f"].targets
    assert (target.provider.api_key, target.provider.missing_key) == ("sk-1", "")
    settings.TOLLHOUSE = {"PROVIDER_KEY_ENV": ("OPENAI_API_KEY",)}
    [target] = load().routes["f"].targets
    assert target.provider.api_key == "" and "allows OPENAI_API_KEY" in target.provider.missing_key


@pytest.mark.parametrize(
    "address, public",
    [
        ("8.8.8.8", True), ("2606:4700::1111", True), ("127.0.0.1", False), ("10.1.2.3", False), ("192.168.0.1", False),
        ("172.16.0.1", False), ("169.254.169.254", False), ("100.64.0.1", False), ("0.0.0.0", False), ("224.0.0.1", False),
        ("::1", False), ("fe80::1%eth0", False), ("fc00::1", False), ("::ffff:127.0.0.1", False), ("64:ff9b::7f00:1", False), ("64:ff9b::808:808", True),
        ("2002:7f00:1::", False),
    ],
)  # fmt: skip
def test_which_addresses_are_public(address, public):
    assert is_public(address) == public


@pytest.mark.parametrize(
    "url", ["http://localhost/v1", "http://a.internal/v1", "ftp://x.com", "file:///etc/passwd", "http://[::1]/"]
)
def test_private_and_strange_addresses_are_refused(url):
    with pytest.raises(ValueError):
        check_url(url, allow_private=False)


def test_a_name_that_resolves_to_a_private_address_is_refused_when_connecting(world, settings):
    """DNS may answer otherwise than when the address was configured; `localhost.` stands for such a name."""
    world.feature("f")
    Provider.objects.update(base_url=world.provider.base_url.replace("127.0.0.1", "localhost"))
    settings.TOLLHOUSE = {"ALLOW_PRIVATE_UPSTREAMS": False}
    with pytest.raises(errors.ProviderError, match="cannot be reached"):
        gateway.complete("f", messages=[{"role": "user", "content": "x"}])


def test_an_address_that_is_a_private_ip_is_refused_when_connecting(world, provider, settings):
    world.feature("f")
    settings.TOLLHOUSE = {"ALLOW_PRIVATE_UPSTREAMS": False}
    with pytest.raises(errors.ProviderError):
        gateway.complete("f", messages=[{"role": "user", "content": "x"}])
    assert provider.requests == []


def test_keys_are_stored_hashed_and_shown_once(capsys, django_user_model):
    call_command("keys", "create", "web", feature=["support.*"], tenant="acme", expires="2100-01-01")
    text = capsys.readouterr().out.splitlines()[-1]
    row = Key.objects.get()
    assert text.startswith("th_") and text not in str(vars(row)) and row.digest == keys.digest(text)
    assert text not in str(list(AuditEntry.objects.values()))
    found = keys.find(load(), text, datetime.now(UTC))
    assert (found.name, found.tenant, found.allows("support.reply"), found.allows("sales")) == (
        "web",
        "acme",
        True,
        False,
    )
    assert keys.find(load(), text[:-1], datetime.now(UTC)) is None
    assert keys.find(load(), text, datetime(2100, 1, 1, tzinfo=UTC) + timedelta(seconds=1)) is None
    call_command("keys", "revoke", "web")
    assert keys.find(load(), text, datetime.now(UTC)) is None
    call_command("keys", "list")
    assert "revoked" in capsys.readouterr().out


def test_mistakes_with_keys_are_told():
    call_command("keys", "create", "web", feature=["*"])
    with pytest.raises(CommandError, match="already exists"):
        call_command("keys", "create", "web", feature=["*"])
    with pytest.raises(CommandError, match="write YYYY-MM-DD"):
        call_command("keys", "create", "other", feature=["*"], expires="soon")
    with pytest.raises(CommandError, match="no key 'nope'"):
        call_command("keys", "revoke", "nope")


def test_personal_data_stays_out_of_rows_logs_and_the_provider(world, provider, caplog):
    world.feature("f", policy=world.policy("strict", outbound="pseudonymise", stored="redacted"))
    caplog.set_level(logging.DEBUG)
    secret = "jane.doe@example.com"
    reply = gateway.complete(
        "f", messages=[{"role": "user", "content": f"Write to {secret}, card 4111 1111 1111 1111"}]
    )
    assert reply.text == f"Write to {secret}, card 4111 1111 1111 1111"
    assert "[EMAIL_ADDRESS_1]" in provider.requests[0]["messages"][0]["content"]
    everywhere = str([*Call.objects.values(), *Payload.objects.values(), provider.requests, caplog.text])
    assert secret not in everywhere and "4111" not in everywhere
    assert Call.objects.get().entities == {"CREDIT_CARD": 1, "EMAIL_ADDRESS": 1}


def test_pseudonyms_are_restored_in_streams_and_tool_arguments(world, provider):
    policy = world.policy("strict", outbound="pseudonymise", stored="redacted")
    world.feature("f", policy=policy)
    world.feature("g", "tool", policy=policy)
    message = [{"role": "user", "content": 'mail "jane.doe@example.com" now'}]
    with gateway.stream("f", messages=message) as stream:
        assert "".join(delta.text for delta in stream) == 'mail "jane.doe@example.com" now'
    for arguments in (
        gateway.complete("g", messages=message).tool_calls[0]["function"]["arguments"],
        list_of(gateway.stream("g", messages=message)).tool_calls[0]["function"]["arguments"],
    ):
        assert arguments == '{"query": "mail \\"jane.doe@example.com\\" now"}'


def list_of(stream):
    list(stream)
    return stream.reply


def test_a_refusing_policy_names_kinds_and_no_values(world, provider):
    world.feature("f", policy=world.policy("no", outbound="refuse"))
    with pytest.raises(errors.PolicyRefused, match="refuses calls with EMAIL_ADDRESS"):
        gateway.complete("f", messages=[{"role": "user", "content": "jane.doe@example.com"}])
    assert provider.requests == []
    call = Call.objects.get()
    assert call.outcome == "refused_policy" and "jane" not in str(vars(call))


@pytest.mark.parametrize("stored, kept", [("none", False), ("hash", True), ("full", True)])
def test_what_is_stored_is_what_the_policy_says(world, stored, kept):
    world.feature("f", policy=world.policy("p", outbound="off", stored=stored))
    gateway.complete("f", messages=[{"role": "user", "content": "jane.doe@example.com"}])
    contents = [p.content for p in Payload.objects.all()]
    assert bool(contents) == kept
    assert ("jane" in str(contents)) == (stored == "full")


def test_a_template_s_own_text_goes_out_and_what_fills_it_does_not(world, provider):
    feature = world.feature("f", policy=world.policy("strict"))
    text = "You answer for help@acme.example. Write to {{ mail }}, card {{ first }} {{ rest }}."
    world.prompt(feature, {"messages": [{"role": "system", "content": text}]})
    own = [{"role": "user", "content": "I am help@acme.example"}]
    gateway.complete("f", {"mail": "jane.doe@example.com", "first": "4111", "rest": "1111 1111 1111"}, messages=own)
    system, user = (message["content"] for message in provider.requests[0]["messages"])
    assert system == "You answer for help@acme.example. Write to [EMAIL_ADDRESS_1], card [CREDIT_CARD_1]."
    assert user == "I am [EMAIL_ADDRESS_2]"
    assert Payload.objects.get().content["messages"][0]["content"] == system


def test_lists_hold_for_the_tenant_of_the_call(world, provider):
    policy = world.policy("strict", media="refuse", entities=["EMAIL_ADDRESS"])
    world.feature("f", policy=policy)
    RedactionList.objects.create(policy=policy, tenant="acme", deny=["Falcon"], outbound="mask")
    message = [{"role": "user", "content": "All about Falcon"}]
    for tenant in ("acme", "other"):
        gateway.complete("f", messages=message, tenant=tenant)
    assert [r["messages"][0]["content"] for r in provider.requests] == ["All about <DENIED>", "All about Falcon"]
    image = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]
    with pytest.raises(errors.PolicyRefused, match="refuses images, audio and files"):
        gateway.complete("f", messages=[{"role": "user", "content": image}])
    assert Call.objects.filter(outcome="refused_policy").count() == 1 and len(provider.requests) == 2

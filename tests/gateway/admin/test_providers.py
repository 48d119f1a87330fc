"""Providers in the admin: keys go in and never come out; addresses and variables are checked."""

import pytest
from django.urls import reverse

from gateway import secrets
from gateway.models import AuditEntry, Provider

pytestmark = pytest.mark.django_db
ADD = "/admin/tollhouse_gateway/provider/add/"
FORM = {
    "name": "own",
    "kind": "openai",
    "base_url": "https://llm.example.com/v1",
    "api_key_env": "",
    "api_key": "",
    "price_provider": "",
}


def change(provider):
    return reverse("admin:tollhouse_gateway_provider_change", args=[provider.pk])


def test_a_key_is_stored_encrypted_and_never_shown(admin_client):
    assert admin_client.post(ADD, {**FORM, "api_key": "sk-very-secret"}).status_code == 302
    provider = Provider.objects.get()
    assert secrets.decrypt(provider.api_key_encrypted, bound_to="llm.example.com") == "sk-very-secret"
    pages = [
        admin_client.get(path).content.decode() for path in ("/admin/tollhouse_gateway/provider/", change(provider))
    ]
    history = admin_client.get(f"{change(provider).removesuffix('change/')}history/").content.decode()
    shown = "".join([*pages, history, str(list(AuditEntry.objects.values()))])
    assert "very-secret" not in shown and provider.api_key_encrypted not in shown
    assert AuditEntry.objects.get().detail["values"]["api_key"] == "(hidden)"


def test_an_empty_field_leaves_the_key_and_a_new_one_replaces_it(admin_client):
    admin_client.post(ADD, {**FORM, "api_key": "one"})
    provider = Provider.objects.get()
    admin_client.post(change(provider), {**FORM, "price_provider": "openai"})
    provider.refresh_from_db()
    assert secrets.decrypt(provider.api_key_encrypted, bound_to="llm.example.com") == "one"
    admin_client.post(change(provider), {**FORM, "price_provider": "openai", "api_key": "two"})
    provider.refresh_from_db()
    assert secrets.decrypt(provider.api_key_encrypted, bound_to="llm.example.com") == "two"
    assert AuditEntry.objects.filter(action="provider.change").first().detail == {"changes": {"api_key": "(hidden)"}}
    admin_client.post(change(provider), {**FORM, "api_key_env": "OWN_API_KEY"})
    provider.refresh_from_db()
    assert (provider.api_key_env, provider.api_key_encrypted) == ("OWN_API_KEY", "")


def test_a_key_does_not_move_to_another_address(admin_client):
    admin_client.post(ADD, {**FORM, "api_key": "one"})
    provider = Provider.objects.get()
    text = admin_client.post(change(provider), {**FORM, "base_url": "https://evil.example.com/v1"}).content.decode()
    assert "The stored key is for llm.example.com only; give the key of the new address." in text
    provider.refresh_from_db()
    assert provider.base_url == FORM["base_url"]


@pytest.mark.parametrize(
    "values, told",
    [
        ({"base_url": "http://169.254.169.254/v1"}, "169.254.169.254 is not a public address"),
        ({"base_url": "https://user:pw@llm.example.com/v1"}, "holds neither credentials nor a query"),
        ({"api_key_env": "DATABASE_URL"}, "The variable DATABASE_URL may not hold a provider&#x27;s key"),
        ({"api_key_env": "SMTP_PASSWORD"}, "PROVIDER_KEY_ENV allows *_API_KEY, *_API_TOKEN"),
        ({"api_key_env": "X_API_KEY", "api_key": "y"}, "Give a key or the variable that holds one, not both."),
        ({"kind": "unheard"}, "Select a valid choice"),
    ],
)
def test_mistakes_are_told_at_the_form(admin_client, settings, values, told):
    settings.TOLLHOUSE = {"ALLOW_PRIVATE_UPSTREAMS": False}
    answer = admin_client.post(ADD, {**FORM, **values})
    assert told in answer.content.decode() and not Provider.objects.exists()


def test_a_view_only_user_sees_no_field_for_the_key(client, django_user_model):
    from django.contrib.auth.models import Permission

    provider = Provider.objects.create(
        name="own", kind="openai", base_url=FORM["base_url"], api_key_encrypted="gAAAA-token"
    )
    user = django_user_model.objects.create_user("bob", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_provider"))
    client.force_login(user)
    text = client.get(change(provider)).content.decode()
    assert "gAAAA-token" not in text and "llm.example.com" in text

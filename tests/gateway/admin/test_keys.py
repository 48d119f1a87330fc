"""Keys in the admin: shown once, rotated with a grace, revoked, and their last use."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Permission
from django.contrib.sessions.models import Session
from django.urls import reverse
from django.utils import timezone

from gateway import keys
from gateway.catalog import load
from gateway.models import AuditEntry, Key, KeyUse

# The catalog is loaded in a transaction of its own.
pytestmark = pytest.mark.django_db(transaction=True)
LIST, ADD = "/admin/tollhouse_gateway/key/", "/admin/tollhouse_gateway/key/add/"
FORM = {
    "name": "web",
    "features": "support.*\nsales",
    "default_feature": "",
    "tenant": "",
    "expires_at_0": "",
    "expires_at_1": "",
}


def page(name, key):
    return reverse(f"admin:tollhouse_gateway_key_{name}", args=[key.pk])


def secret(answer):
    return re.search(r'id="key">(th_[\w-]{40})<', answer.content.decode())[1]


def works(text):
    return keys.find(load(), text, datetime.now(UTC)) is not None


def test_a_key_is_on_the_answer_page_and_nowhere_after_it(admin_client):
    answer = admin_client.post(ADD, FORM)
    text = secret(answer)
    assert answer.status_code == 200 and "no-store" in answer["Cache-Control"] and works(text)
    assert Key.objects.get().features == ["support.*", "sales"]
    kept = [*Session.objects.values(), *AuditEntry.objects.values(), *Key.objects.values(), answer.cookies.output()]
    pages = [admin_client.get(path).content.decode() for path in (LIST, page("change", Key.objects.get()))]
    assert text not in str([*kept, *pages])
    assert AuditEntry.objects.get().action == "key.create"


def test_a_default_feature_that_the_key_may_not_use_is_refused(admin_client, world):
    world.feature("support.reply")
    world.feature("other")
    text = admin_client.post(ADD, {**FORM, "default_feature": "other"}).content.decode()
    assert "The key may not use other: none of support.*, sales matches it." in text and not Key.objects.exists()
    secret(admin_client.post(ADD, {**FORM, "default_feature": "support.reply"}))
    text = admin_client.post(
        page("change", Key.objects.get()), {**FORM, "features": "sales", "default_feature": "support.reply"}
    )
    assert "none of sales matches it" in text.content.decode()


def test_rotating_shows_a_new_secret_and_the_old_one_works_for_the_grace(admin_client):
    old = secret(admin_client.post(ADD, FORM))
    key = Key.objects.get()
    asked = admin_client.get(page("rotate", key))
    assert 'value="24"' in asked.content.decode()
    answer = admin_client.post(page("rotate", key), {"hours": "2", "begins_with": key.prefix})
    new = secret(answer)
    assert "no-store" in answer["Cache-Control"] and new != old and works(new) and works(old)
    later = timezone.now() + timedelta(hours=2, minutes=1)
    assert keys.find(load(), old, later) is None and keys.find(load(), new, later).name == "web"
    entry = AuditEntry.objects.get(action="key.rotate")
    assert (entry.subject, list(entry.detail)) == ("key web", ["previous_until"])
    assert old not in str(entry.detail) and "last used: never" in admin_client.get(page("change", key)).content.decode()
    assert old[:8] in admin_client.get(page("rotate", key)).content.decode()


def test_the_same_page_sent_twice_rotates_once(admin_client):
    secret(admin_client.post(ADD, FORM))
    key = Key.objects.get()
    form = {"hours": "0", "begins_with": key.prefix}
    new = secret(admin_client.post(page("rotate", key), form))
    assert "was rotated since this page was opened" in admin_client.post(page("rotate", key), form).content.decode()
    assert works(new)
    too_long = admin_client.post(page("rotate", key), {"hours": "99999", "begins_with": new[:8]})
    assert "less than or equal to 2160" in too_long.content.decode() and works(new)


def test_a_revoked_key_is_refused_with_its_old_secret_and_cannot_be_rotated(admin_client):
    old = secret(admin_client.post(ADD, FORM))
    key = Key.objects.get()
    new = secret(admin_client.post(page("rotate", key), {"hours": "24", "begins_with": key.prefix}))
    for _ in range(2):
        admin_client.post(LIST, {"action": "revoke", "_selected_action": [key.pk]})
    assert not works(old) and not works(new)
    shown = admin_client.get(page("change", key)).content.decode()
    assert "refused since" in shown and "/rotate/" not in shown
    assert AuditEntry.objects.filter(action="key.revoke").count() == 1
    text = admin_client.post(page("rotate", key), {"hours": "24", "begins_with": new[:8]}).content.decode()
    assert "The key web is revoked; make a new one." in text
    assert admin_client.get(f"{LIST}{key.pk}/delete/").status_code == 403


def test_a_form_that_was_open_while_the_key_was_rotated_does_not_bring_the_old_secret_back(admin_client):
    secret(admin_client.post(ADD, FORM))
    admin_client.get(page("change", Key.objects.get()))
    new = keys.rotate("web").secret
    admin_client.post(page("change", Key.objects.get()), {**FORM, "tenant": "acme"})
    assert works(new) and Key.objects.get().tenant == "acme"


def test_rotating_needs_the_permission_to_change(client, django_user_model):
    key = Key.objects.create(name="web", prefix="th_abcde", digest="0" * 64, features=["*"])
    for permission, allowed in (("view_key", 403), ("change_key", 200)):
        user = django_user_model.objects.create_user(permission, password="x", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename=permission))
        client.force_login(user)
        assert client.get(page("rotate", key)).status_code == allowed
        assert ("/rotate/" in client.get(page("change", key)).content.decode()) == (allowed == 200)
    client.logout()
    assert client.post(page("rotate", key), {"hours": "0", "begins_with": "th_abcde"}).status_code == 302
    key.refresh_from_db()
    assert key.digest == "0" * 64


def test_the_list_shows_states_and_last_uses_and_filters_by_state(admin_client):
    now = timezone.now()
    for name, values in {
        "fresh": {}, "gone": {"expires_at": now - timedelta(days=1)}, "off": {"revoked_at": now},
        "turned": {"previous_digest": "old", "previous_prefix": "th_old", "previous_until": now + timedelta(days=1)},
    }.items():  # fmt: skip
        Key.objects.create(name=name, prefix="th_abcde", digest=name, features=["*"], **values)
    KeyUse.objects.create(digest="old", used_at=datetime(2026, 1, 2, 3, 4, tzinfo=UTC))
    text = admin_client.get(LIST).content.decode()
    assert "2 Jan 2026, 03:04" in text and text.count("never") == 3

    def listed(state):
        return {key.name for key in admin_client.get(LIST, {"state": state}).context["cl"].result_list}

    assert (listed("in-force"), listed("expired"), listed("revoked")) == ({"fresh", "turned"}, {"gone"}, {"off"})
    assert admin_client.get(LIST, {"o": "7"}).context["cl"].result_list[0].name == "turned"

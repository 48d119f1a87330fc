"""Saved views of a dashboard: one's own, and everybody's."""

import pytest
from django.contrib.auth.models import Permission

from dashboards.models import SavedView
from dashboards.pages.saved import MOST_OWN
from tests.dashboards.test_dashboards import ROOT

pytestmark = pytest.mark.django_db


def test_a_view_is_saved_for_oneself_or_for_all(admin_client, admin_user, client, django_user_model):
    url = f"{ROOT}spend/"
    query = "range=30d&feature=support.reply&by=model"
    for name, more in (("Mine", {}), ("Ours", {"shared": "on"})):
        answer = admin_client.post(f"{url}views/", {"name": name, "query": f"{query}&evil=1", **more})
        assert answer.status_code == 302 and answer["Location"] == f"{url}?{query}"
    admin_client.post(f"{url}views/", {"name": "Ours", "query": "range=7d&by=tenant", "shared": "on"})
    assert admin_client.get(url).content.decode().count("Delete the view") == 2
    for name in ("", "x" * 81, "a\0b"):
        assert (
            "needs a name"
            in admin_client.post(f"{url}views/", {"name": name, "query": query}, follow=True).content.decode()
        )
    full = SavedView.objects.bulk_create(
        SavedView(owner=admin_user, page="spend", name=f"{n}") for n in range(MOST_OWN - 2)
    )
    for name, told in (("One more", "too much to save"), ("Mine", "was saved")):
        answer = admin_client.post(f"{url}views/", {"name": name, "query": query}, follow=True)
        assert told in answer.content.decode()
    SavedView.objects.filter(pk__in=[view.pk for view in full]).delete()
    [mine, ours] = SavedView.objects.all()
    assert (mine.query, ours.query, ours.owner) == (query, "range=7d&by=tenant", admin_user)

    other = django_user_model.objects.create_user("bob", password="x", is_staff=True)
    client.force_login(other)
    assert client.post(f"{url}views/", {"name": "x"}).status_code == 403
    other.user_permissions.set(Permission.objects.filter(codename="view_feature"))
    text = client.get(url).content.decode()
    assert "Ours" in text and "Mine" not in text and "Delete the view" not in text
    assert client.post(f"{url}views/{ours.pk}/delete/").status_code == 404
    assert client.get(f"{url}views/").status_code == client.get(f"{url}views/{ours.pk}/delete/").status_code == 405
    assert admin_client.post(f"{url}views/{mine.pk}/delete/").status_code == 302
    assert [view.name for view in SavedView.objects.all()] == ["Ours"]

"""Digests in the admin: whose they are, what is refused, and that each change is an entry of the audit log."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from budgets.models import Channel
from dashboards.models import Digest, DigestDelivery, SavedView
from gateway.models import AuditEntry, TenantLimit
from gateway.worker_beat import beat

pytestmark = pytest.mark.django_db
ADD, LIST = "/admin/tollhouse_dashboards/digest/add/", "/admin/tollhouse_dashboards/digest/"
RIGHTS = [*(f"{action}_digest" for action in ("view", "add", "change", "delete")), "view_feature"]
FORM = {
    "name": "Weekly", "overview": "on", "own_ranges": "on", "emails": "ada@example.com", "every": "week", "weekday": "0",
    "day": "1", "hour": "8", "timezone": "Europe/Paris", "active": "on",
}  # fmt: skip


def page(digest):
    return reverse("admin:tollhouse_dashboards_digest_change", args=[digest.pk])


def view(owner, name="Mine", **values):
    return SavedView.objects.create(owner=owner, page="spend", name=name, **values)


def problems(client, **changes):
    answer = client.post(ADD, {**FORM, **changes})
    assert answer.status_code == 200, "it was saved"
    return {name: " ".join(told) for name, told in answer.context["adminform"].form.errors.items()}


def test_who_makes_one_owns_it(client, person, admin_user):
    client.force_login(bob := person("bob", *RIGHTS))
    mine, shared = view(bob), view(admin_user, "Ours", shared=True)
    hidden = view(admin_user, "Theirs")
    assert f'href="{ADD}">Send views by email' in client.get("/admin/dashboards/spend/").content.decode()
    text = client.get(ADD).content.decode()
    assert "Spend: Mine (bob)" in text and "Spend: Ours (admin)" in text and "Theirs" not in text
    assert 'name="owner"' not in text and 'name="channel"' not in text
    assert "views" in problems(client, views=[hidden.pk])
    assert client.post(ADD, {**FORM, "views": [mine.pk, shared.pk], "owner": admin_user.pk}).status_code == 302
    found = Digest.objects.get()
    assert (found.owner, found.emails, found.views.count()) == (bob, ["ada@example.com"], 2)
    assert found.next_at == found.schedule.after(timezone.now()) and found.next_at.weekday() == 0
    assert client.post(page(found), {**FORM, "hour": "9"}).status_code == 302
    entries = list(AuditEntry.objects.order_by("id").values_list("action", "detail"))
    assert [action for action, _ in entries] == ["digest.create", "digest.change", "digest.change", "digest.change"]
    assert entries[0][1]["values"]["emails"] == ["ada@example.com"] and entries[2][1]["changes"] == {"hour": [8, 9]}
    assert entries[1][1]["changes"] == {"views": [[], ["Mine", "Ours"]]} and entries[3][1]["changes"]["views"][1] == []
    found.refresh_from_db()
    assert found.next_at.astimezone(found.zone).hour == 9


def test_deleting_a_view_tells_first_which_digests_send_it(client, person, admin_user, digest):
    client.force_login(bob := person("bob", *RIGHTS))
    mine, other = view(bob), view(bob, "Other")
    digest(name="Alone", owner=bob, views=[mine], overview=False)
    digest(name="With more", owner=bob, views=[mine, other], overview=False)
    digest(name="<b>Theirs", owner=admin_user, views=[mine])
    address = f"/admin/dashboards/spend/views/{mine.pk}/delete/"
    text = " ".join(client.post(address).content.decode().split())
    assert SavedView.objects.count() == 2 and "Delete the view “Mine”?" in text and "&lt;b&gt;Theirs" in text
    assert text.count("nothing is left of it") == 1 and text.index("Alone</a> <span") < text.index("With more</a></li>")
    TenantLimit.objects.create(user=bob, tenants=["acme"])
    text = client.post(address).content.decode()
    assert "Theirs" not in text and "1 of other people" in text
    assert client.post(address, {"confirmed": "1"}).status_code == 302
    assert list(SavedView.objects.all()) == [other] and Digest.objects.count() == 3
    assert client.post(f"/admin/dashboards/spend/views/{other.pk}/delete/").status_code == 200


def test_nobody_but_its_owner_decides_where_it_goes(client, person, digest, admin_client):
    found = digest(owner=person("bob", *RIGHTS))
    client.force_login(person("eve", *RIGHTS))
    assert client.get(page(found)).status_code == 200
    assert client.post(page(found), {**FORM, "emails": "eve@example.com"}).status_code == 403
    assert client.post(f"{page(found)[:-7]}delete/", {"post": "yes"}).status_code == 403
    for action in ("send_now", "delete_selected"):
        client.post(LIST, {"action": action, "_selected_action": [found.pk], "post": "yes"})
    found.refresh_from_db()
    assert (
        "eve@example.com" not in found.emails
        and not DigestDelivery.objects.exists()
        and not AuditEntry.objects.exists()
    )
    eve = client.session["_auth_user_id"]
    assert admin_client.post(page(found), {**FORM, "owner": eve}).status_code == 302
    found.refresh_from_db()
    assert found.owner.username == "eve" and AuditEntry.objects.get().detail["changes"]["owner"] == ["bob", "eve"]


def test_what_cannot_work_is_refused_with_what_to_write(admin_client, admin_user, person, slack):
    bob = person("bob", "view_feature")
    own = {"owner": admin_user.pk}
    Channel.objects.create(name="pager", kind="pagerduty")
    assert "IANA name such as Europe/Paris" in problems(admin_client, **own, timezone="Paris")["timezone"]
    assert "nothing to send" in problems(admin_client, **own, overview="")["views"]
    assert "nobody to send it to" in problems(admin_client, **own, emails="")["emails"]
    assert "'nobody' is not an email" in problems(admin_client, **own, emails="a@example.com\nnobody")["emails"]
    many = "\n".join(f"a{n}@example.com" for n in range(51))
    assert "At most 50" in problems(admin_client, **own, emails=many)["emails"]
    assert problems(admin_client, **own, hour="24", day="0").keys() == {"hour", "day"}
    mine = view(admin_user)
    assert "bob may not use the view Mine" in problems(admin_client, owner=bob.pk, views=[mine.pk])["views"]
    assert "channel" in problems(admin_client, **own, channel=Channel.objects.get().pk)
    assert not Digest.objects.exists()


def test_send_now_is_for_the_worker_and_what_became_of_it_is_shown(admin_client, digest, site):
    found = digest(name="Daily", active=False)
    told = admin_client.post(LIST, {"action": "send_now", "_selected_action": [found.pk]}, follow=True).content.decode()
    assert "The worker sends Daily within seconds" in told and "No worker runs" in told
    delivery = DigestDelivery.objects.get()
    assert (delivery.asked_by, delivery.state) == (
        "admin",
        "pending",
    ) and AuditEntry.objects.get().action == "digest.send"
    DigestDelivery.objects.update(state="failed", status=550, answer="550 <b>no such user</b>", attempts=1)
    for path in (LIST, page(found)):
        text = admin_client.get(path).content.decode()
        assert "not sent" in text and "&lt;b&gt;no such user" in text and "<b>no such" not in text
    beat()
    told = admin_client.post(LIST, {"action": "send_now", "_selected_action": [found.pk]}, follow=True).content.decode()
    assert "No worker runs" not in told and "have no links" not in told


def test_who_is_limited_to_tenants_has_digests_of_their_own_alone(client, person, digest, admin_user):
    bob = person("bob", *RIGHTS, "view_channel")
    TenantLimit.objects.create(user=bob, tenants=["acme"])
    digest(name="of umbrella")
    mine, ours = view(bob), view(admin_user, "of umbrella", shared=True)
    client.force_login(bob)
    assert "of umbrella" not in client.get(LIST).content.decode() + client.get(ADD).content.decode()
    assert "views" in problems(client, views=[ours.pk])
    assert client.post(ADD, {**FORM, "views": [mine.pk]}).status_code == 302
    made = Digest.objects.get(name="Weekly")
    assert made.owner == bob and "Weekly" in client.get(LIST).content.decode()
    assert client.post(page(made), {**FORM, "views": [mine.pk], "hour": "10"}).status_code == 302
    other = Digest.objects.get(name="of umbrella")
    assert client.get(page(other)).status_code == 302 and client.post(page(other), FORM).status_code in (302, 403)
    assert Digest.objects.get(name="Weekly").hour == 10


def test_when_it_is_due_is_not_moved_by_other_changes(admin_client, admin_user, digest):
    found = digest(next_at=timezone.now() - timedelta(hours=3))
    values = {"owner": admin_user.pk, "every": "day", "hour": str(found.hour), "timezone": "UTC"}
    assert admin_client.post(page(found), {**FORM, **values, "name": "Renamed"}).status_code == 302
    assert Digest.objects.get().next_at == found.next_at and Digest.objects.get().name == "Renamed"
    admin_client.post(page(found), {**FORM, **values, "active": ""})
    assert Digest.objects.get().next_at is None

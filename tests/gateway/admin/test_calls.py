"""Who may see what of calls, and at which cost."""

from datetime import timedelta
from decimal import Decimal
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import Permission
from django.utils import timezone

from gateway.models import AuditEntry, Call
from tests.rows import make_call, many_calls

LIST = "/admin/tollhouse_gateway/call/"
pytestmark = pytest.mark.django_db

PAYLOAD = {"messages": [{"role": "user", "content": "a [PERSON_1] said this"}], "reply": []}


@pytest.fixture
def staff(client, django_user_model):
    """Logs somebody in with just these permissions."""

    def log_in(*codenames):
        user = django_user_model.objects.create_user("bob", password="x", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        client.force_login(user)
        return client

    return log_in


def page_of(call):
    return f"{LIST}{call.id}/change/"


def test_strangers_see_nothing(client, staff):
    call = make_call(payload=PAYLOAD)
    for path in (LIST, page_of(call), "/admin/"):
        assert client.get(path).status_code == 302
    nobody = staff()
    assert nobody.get(LIST).status_code == nobody.get(page_of(call)).status_code == 403
    assert "Latest calls" not in nobody.get("/admin/").content.decode()


def test_a_payload_needs_a_permission_of_its_own_and_every_reading_is_audited(staff):
    call = make_call(payload=PAYLOAD)
    member = staff("view_call")
    assert "You may not read" in member.get(page_of(call)).content.decode()
    assert member.post(page_of(call), {"payload": "1"}).status_code == 403
    assert not AuditEntry.objects.exists()


def test_a_reader_sees_the_payload_and_leaves_an_entry(admin_client):
    call = make_call(payload=PAYLOAD)
    assert "said this" not in admin_client.get(page_of(call)).content.decode()
    assert "said this" in admin_client.post(page_of(call), {"payload": "1"}).content.decode()
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.action) == ("admin", "payload.read") and str(call.id) in entry.subject


def test_rows_cannot_be_changed(admin_client):
    call = make_call()
    with pytest.raises(TypeError, match="written by the ledger"):
        call.save()
    with pytest.raises(TypeError, match="never deleted"):
        call.delete()
    assert admin_client.get(f"{LIST}add/").status_code == 403
    assert admin_client.get(f"{LIST}{call.id}/delete/").status_code == 403


def test_the_list_costs_the_same_number_of_queries_whatever_it_shows(admin_client, django_assert_num_queries):
    make_call()
    with django_assert_num_queries(6):
        admin_client.get(LIST)
    many_calls(200)
    with django_assert_num_queries(6):
        assert admin_client.get(LIST).status_code == 200


def test_pages_are_read_by_key_in_both_directions():
    from gateway.admin.call_list import Filters, read
    from gateway.explorer.search import PAGE

    many_calls(2 * PAGE + 10)
    everything = list(Call.objects.order_by("-id").values_list("id", flat=True))
    first = read(Filters.of({}), Call.objects.all())
    second = read(Filters.of({"before": first.older}), Call.objects.all())
    third = read(Filters.of({"before": second.older}), Call.objects.all())
    assert [c.id for page in (first, second, third) for c in page.calls] == everything
    assert (first.newer, third.older) == ("", "")
    assert [c.id for c in read(Filters.of({"after": third.newer}), Call.objects.all()).calls] == [
        c.id for c in second.calls
    ]
    back = read(Filters.of({"after": second.newer}), Call.objects.all())
    assert [c.id for c in back.calls] == [c.id for c in first.calls] and back.newer == ""


def test_filters_choose_by_value_and_time(admin_client):
    now = timezone.now()
    old = make_call(at=now - timedelta(days=3), feature="old", tenant="acme")
    new = make_call(feature="new", outcome="timeout", cost_usd=Decimal("0.5"), prompt_version="ab" * 32)

    def found(**query):
        text = admin_client.get(f"{LIST}?{urlencode(query)}", follow=True).content.decode()
        return {call.feature for call in (old, new) if f"/{call.id}/change/" in text}

    assert found() == found(since="7d") == found(since="all") == {"old", "new"}
    assert found(since="24h") == {"new"}
    assert found(q="tenant:acme") == found(q="since:7d -feature:new", since="1h") == {"old"}
    # Addresses of older links and of the form lead to those of queries.
    assert found(period="7d", tenant="acme") == {"old"}
    assert found(period="24h") == found(outcome="timeout") == found(prompt_version="new@abababab") == {"new"}
    since, until = now - timedelta(days=4), now - timedelta(days=2)
    assert found(period="custom", since=since.isoformat(), until=until.isoformat()) == {"old"}
    assert found(**{"from": since.isoformat(), "to": until.isoformat()}, since="1h") == {"old"}
    assert found(since=since.isoformat(), until=until.isoformat()) == {"old"}
    assert found(period="nonsense", since="yesterday", before="x") == {"old", "new"}
    assert found(since=until.isoformat(), until=since.isoformat()) == set()


def test_a_query_that_cannot_be_understood_says_where_and_loses_nothing(admin_client):
    call = make_call()
    typed = 'feature:support.reply tenat:acme "a<b'
    page = admin_client.get(LIST, {"q": typed, "since": "7d"}).content.decode()
    assert "Did you mean tenant?" in page and "<mark>tenat</mark>" in page and "feature:support.reply <mark>" in page
    assert 'value="feature:support.reply tenat:acme &quot;a&lt;b"' in page and str(call.id) not in page
    assert '<option value="7d" selected>' in page


def test_an_id_leads_to_its_call(admin_client):
    call = make_call()
    for query in ({"id": str(call.id)}, {"q": str(call.id)}, {"q": f"id:{call.id}"}):
        assert admin_client.get(LIST, query).url == page_of(call)
    wrong = admin_client.get(LIST, {"id": "nonsense"}, follow=True).content.decode()
    assert "wants the id of a call" in wrong


def test_values_are_suggested_to_those_who_may_see_calls(admin_client, staff):
    assert admin_client.get(f"{LIST}suggest/", {"field": "outcome", "start": "refused_r"}).json() == {
        "values": ["refused_rate"]
    }
    for field, start in (("tenant", "a"), ("nothing", ""), ("feature", "\x00")):
        assert admin_client.get(f"{LIST}suggest/", {"field": field, "start": start}).json() == {"values": []}
    assert staff().get(f"{LIST}suggest/", {"field": "outcome"}).status_code == 403


def test_unknown_calls_are_not_found(admin_client):
    assert admin_client.get(f"{LIST}not-an-id/change/").status_code == 404
    assert admin_client.get(f"{LIST}01900000-0000-7000-8000-000000000000/change/").status_code == 404

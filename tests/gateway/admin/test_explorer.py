"""What can be looked at and done from a call, by whom, and that nothing that somebody wrote is ever run."""

import re
from datetime import timedelta
from decimal import Decimal
from html import unescape
from uuid import uuid4

import orjson
import pytest
from django.contrib.auth.models import Permission, User
from django.utils import timezone
from uuid_utils.compat import uuid7

import gateway
from gateway import keys
from gateway.models import Adjustment, AuditEntry, Call, Dataset, DatasetItem, Score, Step, TenantLimit
from redaction.models import RedactionPolicy
from tests.gateway.admin.test_security import HOSTILE, RAW
from tests.rows import make_call
from tests.world import World

LIST = "/admin/tollhouse_gateway/call/"
SAID = {
    "messages": [{"role": "user", "content": "Where is [PERSON_1]?"}],
    "reply": [{"role": "assistant", "content": "Here."}],
}
pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client, django_user_model):
    """Logs somebody in with just these permissions."""

    def log_in(*codenames):
        user = django_user_model.objects.create_user(f"bob-{uuid4()}", password="x", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        client.force_login(user)
        return client

    return log_in


def page_of(call, name="change"):
    return f"{LIST}{call.id}/{name}/"


def text(answer):
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_session_shows_its_calls_in_time_and_its_conversation_to_those_who_may_read_it(staff):
    now = timezone.now()
    more = {"messages": [*SAID["messages"], *SAID["reply"], {"role": "user", "content": "And then?"}], "reply": []}
    first = make_call(session_id="s/1", tenant="acme", at=now - timedelta(hours=2), payload=SAID)
    second = make_call(session_id="s/1", tenant="acme", payload=more, cost_usd=None, outcome="timeout")
    make_call(session_id="s/1", tenant="other")
    query = {"id": "s/1", "tenant": "acme"}
    viewer = staff("view_call")
    page = text(viewer.get(f"{LIST}session/", query))
    assert page.count('class="th-line"') == 2 and page.index(str(first.id)) < page.index(str(second.id))
    assert "2 h later" in page and "1 without a price" in page and "You may not read" in page
    # A correction counts, also of a call that had no price; that of the line of a bill is of no call.
    for call_id, usd in ((first.id, "0.5"), (second.id, "0.25"), (second.id, "-0.05")):
        Adjustment.objects.bulk_create([Adjustment(call_id=call_id, cost_usd=usd, reason="bill", actor="ann")])
    page = text(viewer.get(f"{LIST}session/", query))
    assert "$0.7003" in page and "without a price" not in page
    assert "$0.5003" in page and "$0.2" in page, "each line has its own"
    address = f"{LIST}session/?id=s/1&tenant=acme"
    assert viewer.post(address, {"payload": "1"}).status_code == 403
    assert viewer.get(f"{LIST}session/", {"id": "s/1"}).status_code == 404
    assert viewer.get(f"{LIST}session/", {"id": "\x00"}).status_code == 404
    page = text(staff("view_call", "read_payload").post(address, {"payload": "1"}))
    # What the second call repeats of the first is not shown again.
    assert page.count("Where is") == 1 and page.count("And then?") == 1
    assert AuditEntry.objects.filter(action="payload.read").count() == 2


def test_a_call_is_compared_with_one_of_the_version_before(admin_client):
    world = World("http://127.0.0.1:9/v1")
    feature = world.feature("support.reply")
    old, new = world.prompt(feature, *({"messages": [{"role": "user", "content": f"{n} {{{{ q }}}}"}]} for n in "ab"))
    before = make_call(prompt_version=old.address, tenant="acme", cost_usd=Decimal("0.2"), payload=SAID)
    make_call(prompt_version=old.address, tenant="other")
    make_call(prompt_version=old.address, tenant="acme", outcome="timeout")
    after = {"messages": [{"role": "user", "content": "Where was [PERSON_1]?"}], "reply": SAID["reply"]}
    call = make_call(prompt_version=new.address, tenant="acme", cost_usd=Decimal("0.1"), payload=after)
    page = text(admin_client.get(page_of(call, "compare")))
    assert str(before.id) in page and "-50 %" in page and "Where" not in page
    page = text(admin_client.post(page_of(call, "compare"), {"payload": "1"}))
    assert (
        "<del>Where is [PERSON_1]?</del>" in page and "<ins>Where was [PERSON_1]?</ins>" in page and "Here." not in page
    )
    assert AuditEntry.objects.filter(action="payload.read").count() == 2
    assert "No call to compare with" in text(admin_client.get(page_of(before, "compare")))
    named = admin_client.get(page_of(before, "compare"), {"against": str(call.id)})
    assert str(call.id) in text(named) and "+100 %" in text(named)
    assert "There is no call nonsense" in text(admin_client.get(page_of(call, "compare"), {"against": "nonsense"}))


def test_a_call_is_kept_in_a_dataset_redacted_and_once(admin_client):
    policy = RedactionPolicy.objects.create(name="default")
    dataset = Dataset.objects.create(name="good")
    call = make_call(payload=SAID, tenant="acme", user_ref="0f3a")
    for expected in (" Here. ", "again"):
        admin_client.post(page_of(call, "keep"), {"dataset": "good", "expected": expected})
    item = DatasetItem.objects.get()
    assert (item.messages, item.reply, item.expected) == (SAID["messages"], SAID["reply"], "Here.")
    assert (item.call_id, item.user_ref, item.created_by) == (call.id, "0f3a", "admin")
    assert set(AuditEntry.objects.values_list("action", flat=True)) == {"payload.read", "datasetitem.create"}
    asked = admin_client.get(f"/admin/tollhouse_gateway/dataset/{dataset.pk}/export/")
    assert "1 item as JSON lines" in text(asked)
    answer = admin_client.post(f"/admin/tollhouse_gateway/dataset/{dataset.pk}/export/")
    [line] = b"".join(answer.streaming_content).splitlines()
    assert (
        orjson.loads(line)["messages"] == SAID["messages"]
        and AuditEntry.objects.filter(action="dataset.export").exists()
    )
    assert answer["Content-Disposition"] == 'attachment; filename="good.jsonl"'
    for refused, words in (
        (make_call(), "Nothing that can be read"),
        (make_call(payload={"sha256": "0"}), "Nothing that can be read"),
        (make_call(payload=SAID, policy="gone"), "not there any more"),
    ):
        answer = admin_client.post(page_of(refused, "keep"), {"dataset": "good"}, follow=True)
        assert words in text(answer)
    policy.stored_parts = {"replies": "full"}
    policy.save()
    answer = admin_client.post(page_of(make_call(payload=SAID), "keep"), {"dataset": "good"}, follow=True)
    assert "only what was redacted" in text(answer).replace("takes only what", "only what")
    assert DatasetItem.objects.count() == 1


def test_each_step_needs_its_own_permission(staff):
    RedactionPolicy.objects.create(name="default")
    dataset = Dataset.objects.create(name="good")
    call = make_call(payload=SAID)
    DatasetItem.objects.create(dataset=dataset, feature="f", messages=SAID["messages"])
    viewer = staff("view_call", "view_dataset", "view_datasetitem")
    page = text(viewer.get(page_of(call)))
    assert "Replay on" not in page and "Add to dataset" not in page and "curl" in page
    item = DatasetItem.objects.get()
    shown = text(viewer.get(f"/admin/tollhouse_gateway/datasetitem/{item.pk}/change/"))
    assert "Where is" not in shown and not AuditEntry.objects.exists()
    export = f"/admin/tollhouse_gateway/dataset/{dataset.pk}/export/"
    forbidden = (page_of(call, "keep"), {"dataset": "good"}), (page_of(call, "replay"), {"route": "x"}), (export, {})
    for granted in ((), ("run_playground", "export_dataset"), ("read_payload",)):
        member = staff("view_call", "view_dataset", *granted)
        assert {member.post(path, given).status_code for path, given in forbidden} == {403}, granted
    stranger = staff()
    for name in ("compare", "replay", "keep"):
        assert stranger.get(page_of(call, name)).status_code == 403
    assert DatasetItem.objects.count() == 1 and not AuditEntry.objects.exists()


def test_those_who_keep_calls_need_not_read_them_and_every_reading_is_noted(staff):
    RedactionPolicy.objects.create(name="default")
    Dataset.objects.create(name="good")
    call = make_call(payload=SAID)
    author = staff("view_call", "view_dataset", "view_datasetitem", "add_datasetitem", "change_datasetitem")
    assert "Add to dataset" in text(author.get(page_of(call)))
    author.post(page_of(call, "keep"), {"dataset": "good", "expected": "He is in Bonn."})
    item = DatasetItem.objects.get()
    kept = AuditEntry.objects.get(action="payload.read")
    assert kept.detail == {"dataset": "good"} and str(call.id) in kept.subject
    path = f"/admin/tollhouse_gateway/datasetitem/{item.pk}/change/"
    shown = text(author.get(path))
    assert "Where is" not in shown and "Bonn" not in shown
    author.post(path, {"expected": "overwritten"})
    item.refresh_from_db()
    assert item.expected == "He is in Bonn." and not AuditEntry.objects.filter(action="datasetitem.read").exists()
    reviewer = staff("view_datasetitem", "change_datasetitem", "read_payload")
    assert "Where is" in text(reviewer.post(path, {"expected": "x" * 20_001}))
    assert AuditEntry.objects.filter(action="datasetitem.read").count() == 1, "a form with a fault was shown"
    assert reviewer.post(path, {"expected": "He moved to Kiel."}).status_code == 302
    [change] = AuditEntry.objects.filter(action="datasetitem.change")
    assert change.detail == {"changes": {"expected": "(hidden)"}}


def test_what_anybody_wrote_in_any_field_is_shown_and_never_run(admin_client):
    texts = {
        field.name: HOSTILE[: field.max_length]
        for field in Call._meta.concrete_fields
        if field.get_internal_type() == "CharField" and field.name not in ("outcome", "session_id", "tenant")
    }
    said = {
        "messages": [
            {
                "role": HOSTILE,
                "name": HOSTILE,
                "content": [{"type": "text", "text": HOSTILE}, {"type": HOSTILE}, HOSTILE],
            },
            {
                "role": "assistant",
                "tool_calls": [{"function": {"name": HOSTILE, "arguments": HOSTILE}}],
                "refusal": HOSTILE,
            },
        ],
        "reply": [{"role": "assistant", "content": {"odd": HOSTILE}}],
    }
    odd = {
        "labels": {HOSTILE: HOSTILE}, "entities": {HOSTILE: 1}, "tenant": HOSTILE, "session_id": HOSTILE,
        "trace": {"stages": {HOSTILE: 1.0, "send": 2.0}, "attempts": [{"target": HOSTILE, "outcome": HOSTILE, "ms": 1.0}]},
    }  # fmt: skip
    call, other = (make_call(**texts, **odd, payload=said) for _ in range(2))
    session = {"id": HOSTILE, "tenant": HOSTILE}
    pages = [
        admin_client.get(LIST, {"q": "since:1d"}),
        admin_client.get(LIST, {"q": HOSTILE}),
        admin_client.get(LIST, {"q": f'"{HOSTILE}', "since": HOSTILE}),
        admin_client.get(page_of(call)),
        admin_client.post(page_of(call), {"payload": "1"}),
        admin_client.get(f"{LIST}session/", session),
        admin_client.get(page_of(call, "compare"), {"against": str(other.id)}),
        admin_client.post(page_of(call, "compare") + f"?against={other.id}", {"payload": "1"}),
    ]
    for page in pages:
        shown = text(page)
        assert not any(raw in shown for raw in RAW), page.request["PATH_INFO"]
        assert "&lt;script&gt;" in shown or "&#x27;" in shown


def test_links_of_a_page_lead_to_the_calls_that_they_name(admin_client):
    call = make_call(tenant='Acme, "Inc" *', session_id="s 1")
    listed = admin_client.get(LIST)
    [link] = re.findall(r'href="(\?q=tenant%3A%22Acme[^"]*)"', text(listed))
    found = text(admin_client.get(LIST + unescape(link)))
    assert f"/{call.id}/change/" in found
    page = text(admin_client.get(page_of(call)))
    [link] = re.findall(r'href="([^"]*/session/\?[^"]*)"', page)
    assert f"/{call.id}/change/" in text(admin_client.get(unescape(link)))


@pytest.mark.django_db(transaction=True)
def test_a_call_is_replayed_in_the_sandbox_as_it_was_said(world, admin_client):
    world.feature("f")
    world.feature("box", (world.kind("sandbox", base_url="", options={"answer": "From the box."}), "echo"))
    call = make_call(
        feature="f", payload={"messages": [{"role": "user", "content": "{{ 7 * 7 }} [PERSON_1]"}], "reply": []}
    )
    page = text(admin_client.get(page_of(call)))
    assert page.index("box (sandbox)") < page.index('<option value="f">')
    shown = text(admin_client.post(page_of(call, "replay"), {"route": "box"}))
    replayed = Call.objects.get(key="playground")
    assert (replayed.feature, replayed.route, replayed.outcome) == ("f", "box", "ok") and str(replayed.id) in shown
    assert "From the box." in shown
    assert AuditEntry.objects.filter(action="payload.read").exists()
    answer = admin_client.post(page_of(call, "replay"), {"route": "nowhere"}, follow=True)
    assert "Choose a route." in text(answer)
    answer = admin_client.post(page_of(make_call(feature="f"), "replay"), {"route": "box"}, follow=True)
    assert "Nothing is kept" in text(answer)


def test_whoever_may_says_good_or_bad_of_a_call_and_sees_what_others_said(staff):
    call = make_call(tenant="acme")
    page, address = page_of(call), page_of(call, "score")
    gateway.score(call.id, "edit", 0.25, user="ann")
    gateway.score(call.id, "eval", True, name="tone")
    reviewer = staff("view_call", "view_score", "add_score")
    for value, told in (("up", "Noted."), ("up", "You had said so already."), ("down", "Noted."), ("7", "must be")):
        assert told in text(reviewer.post(address, {"value": value}, follow=True))
    shown = text(reviewer.get(page))
    assert "25% changed" in shown and "passed" in shown and keys.user_ref("ann")[:12] in shown
    assert (
        re.search(r'"th-pill bad">bad</span></td><td data-label="Who"><span>bob-', shown)
        and '"th-pill good">good<' not in shown
    )
    assert Score.objects.filter(source__startswith="staff:").count() == 2
    assert reviewer.get(address).status_code == 405
    assert reviewer.post(address.replace(str(call.id), str(uuid7())), {"value": "up"}).status_code == 404
    looking = staff("view_call", "view_score")
    assert "25% changed" in text(looking.get(page)) and "Good</button>" not in text(looking.get(page))
    assert looking.post(address, {"value": "up"}).status_code == 403
    assert "25% changed" not in text(staff("view_call").get(page))
    for permissions, found in ((["view_call", "view_score"], True), (["view_call"], False)):
        listed = text(staff(*permissions).get(LIST, {"q": "score:edit>0.2"}))
        assert (page in listed, "takes the permission to view scores" in listed) == (found, not found)


def test_steps_stand_in_the_waterfalls_of_a_call_and_of_a_session_for_those_who_may_see_them(staff):
    begun = uuid7()
    call = make_call(session_id="s", tenant="acme", parent=begun, trace_id="a" * 32)
    rows = [
        Step(id=begun, kind="step", name="answer<b>", counts={"tries": 2}, tenant="acme"),
        Step(
            id=uuid7(),
            parent=call.id,
            kind="tool",
            name="lookup",
            outcome="error",
            error_class="KeyError",
            tenant="acme",
        ),
        Step(id=uuid7(), parent=call.id, kind="tool", name="of-another-tenant", tenant="umbrella"),
    ]
    for row in rows:
        row.began_at, row.latency_ms, row.trace_id, row.session_id = row.started_at, 12, "a" * 32, "s"
        row.outcome = row.outcome or "ok"
    Step.objects.bulk_create(rows)
    pages = [(page_of(call), {}), (f"{LIST}session/", {"id": "s", "tenant": "acme"})]
    looking = staff("view_call", "view_step")
    for address, query in pages:
        shown = text(looking.get(address, query))
        assert (
            "answer&lt;b&gt;" in shown and "2 tries" in shown and '<span class="th-pill bad">KeyError</span>' in shown
        )
        assert re.search(r"th-depth-0.*answer.*th-depth-1.*support\.reply.*th-depth-2.*lookup", shown, re.DOTALL)
    assert "of-another-tenant" not in shown, "a session is a tenant's"
    gateway.score(call.id, "edit", 0.25)
    for tenant, seen in (("", {"of-another-tenant", "25% changed"}), ("acme", {"25% changed"})):
        looking = staff("view_call", "view_step", "view_score")
        if tenant:
            TenantLimit.objects.create(user=User.objects.latest("pk"), tenants=[tenant])
        shown = text(looking.get(page_of(call)))
        assert {words for words in ("of-another-tenant", "25% changed") if words in shown} == seen
    looking = staff("view_call")
    for address, query in pages:
        assert "lookup" not in text(looking.get(address, query))

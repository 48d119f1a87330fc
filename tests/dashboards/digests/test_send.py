"""Digests reach their readers once for each time that they were due, with real servers at the other end."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.db import connections
from django.urls import reverse
from django.utils import timezone

from budgets.models import Alert, Channel
from dashboards.digests import ways
from dashboards.digests.plan import plan, send_now
from dashboards.digests.sections import make
from dashboards.digests.send import deliver, work
from dashboards.models import Digest, DigestDelivery, SavedView
from gateway.jobs.registry import REGISTERED
from tests.budgets.channels.notices import conforms
from tests.budgets.channels.receiver import Reply
from tests.dashboards.digests.conftest import TOKEN, bot, letter, row, webhook
from tests.rows import make_call

pytestmark = pytest.mark.django_db
STATES = ("state", "attempts", "status")


@pytest.fixture
def calls(db):
    """Without any there are no charts to draw, which makes most tests cheap."""
    for hours in (24, 30, 36):
        make_call(at=timezone.now() - timedelta(hours=hours), feature='<b>"f"</b>')


def state(delivery):
    return tuple(DigestDelivery.objects.values_list(*STATES).get(pk=delivery.pk))


def later(**values):
    """As if all that waits for its time had waited."""
    DigestDelivery.objects.update(next_at=timezone.now(), **values)


def test_an_email_arrives_once_with_its_charts_in_it(calls, digest, mail_server, site):
    found = digest()
    for _ in range(3):
        work()
    [(sender, recipients, _)] = mail_server.letters
    assert (sender, recipients) == ("<gate@example.com>", ["<finance@example.com>", "<ada@example.com>"])
    mail = letter(mail_server)
    yesterday = timezone.localtime() - timedelta(days=1)
    assert mail["Subject"].strip() == f"Daily: {yesterday:%A} {yesterday.day} {yesterday:%B %Y}"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "multipart/related"]
    text, html = (mail.get_body([kind]).get_content() for kind in ("plain", "html"))
    images = {part["Content-ID"].strip("<>"): part for part in mail.walk() if part.get_content_type() == "image/png"}
    assert len(images) == 4 and all(f'src="cid:{name}"' in html for name in images)
    for part in images.values():
        assert part.get_content_disposition() == "inline" and part.get_content().startswith(b"\x89PNG")
    assert html.count('alt="Spend by feature: &lt;b&gt;') == 2 and "<b>&quot;" not in html
    for told in (
        "Spend this month",
        "Latency p95",
        "Kill switches in force",
        "https://gate.example.com/admin/?range=custom",
    ):
        assert told in text and (told in html or "?" in told)
    assert f"https://gate.example.com/admin/tollhouse_dashboards/digest/{found.pk}/change/" in html
    assert state(row(found)) == ("sent", 1, None) and row(found).answer == "Taken by the mail server."
    assert Digest.objects.get().next_at > timezone.now()


def test_the_worker_has_the_job():
    assert "digests" in {job.name for job in REGISTERED}


@pytest.mark.django_db(transaction=True)
def test_many_workers_at_once_send_it_once(digest, mail_server):
    for number in range(3):
        digest(name=f"d{number}")

    def run(_):
        try:
            work()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(4)))
    assert sorted(letter(mail_server, n)["Subject"].strip()[:2] for n in range(len(mail_server.letters))) == [
        "d0",
        "d1",
        "d2",
    ]
    assert set(DigestDelivery.objects.values_list(*STATES)) == {("sent", 1, None)}


def test_what_a_dead_worker_was_sending_is_sent_again_as_the_same_letter(digest, mail_server):
    found = digest(overview=True)
    plan()
    assert deliver() == 1
    DigestDelivery.objects.update(state="sending", leased_until=timezone.now() + timedelta(seconds=60))
    assert deliver() == 0, "the lease of the other is respected"
    DigestDelivery.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
    assert deliver() == 1
    assert letter(mail_server, 0)["Message-ID"] == letter(mail_server, 1)["Message-ID"]
    assert DigestDelivery.objects.count() == 1 and state(row(found))[0] == "sent"


def test_a_worker_that_was_slow_leaves_it_to_the_one_that_took_it(digest, mail_server):
    found = digest()
    plan()
    receipt = ways.mail(make(row(found)), found.emails, "key", lambda: False)
    assert not receipt.ok and not receipt.permanent and not mail_server.letters


def test_after_a_pause_of_the_workers_one_is_sent_and_not_ten(digest, mail_server):
    now = timezone.now()
    found = digest(days=9)
    for _ in range(2):
        work()
    assert len(mail_server.letters) == 1 and row(found).missed == 9
    assert row(found).due_at > now - timedelta(days=1)
    assert "no worker ran when they were due: 9." in letter(mail_server).get_body(["plain"]).get_content()


def test_one_that_is_new_or_inactive_is_not_due(digest, mail_server):
    digest(name="inactive", active=False)
    new = digest(name="new", next_at=None)
    assert plan() == 0 and not DigestDelivery.objects.exists()
    new.refresh_from_db()
    assert new.next_at == new.schedule.after(timezone.now())


def test_what_still_waits_when_the_next_is_due_is_given_up(digest, mail_server):
    found = digest()
    mail_server.replies["RCPT"] = "450 greylisted"
    work()
    assert state(row(found)) == ("pending", 1, 450) and "greylisted" in row(found).answer
    assert deliver() == 0, "it rests first"
    Digest.objects.update(next_at=found.next_at)
    DigestDelivery.objects.update(due_at=timezone.now() - timedelta(days=1))
    mail_server.replies.clear()
    later()
    work()
    assert sorted(DigestDelivery.objects.values_list("state", flat=True)) == ["failed", "sent"]
    assert len(mail_server.letters) == 1


def test_one_that_is_too_old_is_given_up_and_told(digest, mail_server):
    found = digest()
    plan()
    later(created_at=timezone.now() - timedelta(hours=13), answer="450 greylisted")
    work()
    assert state(row(found))[0] == "failed" and not mail_server.letters
    assert "450 greylisted" in row(found).answer
    assert Alert.objects.get().summary.startswith("The digest Daily was not sent by email: Given up")


def test_what_is_refused_for_good_is_not_tried_again_and_opens_an_alert(digest, mail_server):
    mail_server.replies["RCPT"] = "550 no such user"
    found = digest()
    work()
    later()
    work()
    assert state(row(found)) == ("failed", 1, 550)
    assert Alert.objects.get().kind == "digest_not_sent" and "no such user" in Alert.objects.get().summary


def test_a_recipient_that_is_refused_is_named_on_its_page_and_in_an_alert(digest, mail_server, admin_client):
    mail_server.replies["<cfo@example.com>"] = "550 no such user"
    found = digest(emails=["ann@example.com", "cfo@example.com"])
    work()
    later()
    work()
    assert state(row(found)) == ("sent", 1, 550) and len(mail_server.letters) == 1
    told = "1 of 2 recipients. Refused: cfo@example.com (550 no such user)"
    assert told in Alert.objects.get(kind="digest_not_sent").summary
    names = (("change", [found.pk]), ("changelist", []))
    for path in (reverse(f"admin:tollhouse_dashboards_digest_{name}", args=args) for name, args in names):
        shown = admin_client.get(path).content.decode()
        assert (
            '<span class="th-pill warn">sent in part</span>' in shown and "Taken by the mail server for 1 of 2" in shown
        )


def test_it_is_not_sent_when_its_owner_may_not_see_it(digest, mail_server, person):
    bob = person("bob", "view_feature")
    found = digest(owner=bob)
    bob.user_permissions.remove(Permission.objects.get(codename="view_feature"))
    work()
    assert not mail_server.letters and row(found).state == "failed"
    assert "bob, may not see the overview" in row(found).answer and "bob" in Alert.objects.get().summary


def test_without_a_mail_server_the_row_says_what_to_set(digest, settings):
    settings.MAILERS = {}
    found = digest()
    work()
    assert row(found).state == "failed" and "DJANGO_EMAIL_URL" in row(found).answer


def test_without_matplotlib_the_figures_are_sent_and_it_is_said(calls, digest, mail_server, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)  # as it is where the extra is not installed
    found = digest()
    work()
    assert "tollhouse[digests]" in row(found).answer and row(found).state == "sent"
    mail = letter(mail_server)
    assert not [part for part in mail.walk() if part.get_content_type() == "image/png"]
    html = mail.get_body(["html"]).get_content()
    assert "tollhouse[digests]" in html and "Spend by feature: " in html and "<img" not in html


def test_a_bot_posts_the_figures_and_then_the_charts(calls, digest, slack, site):
    found = digest(emails=[], channel=bot(slack))
    work()
    upload = ["files.getUploadURLExternal", "sekret-{}"] * 2
    assert slack.methods == [
        "chat.postMessage", *(name.format(number) for number, name in enumerate(upload, 1)), "files.completeUploadExternal"
    ]  # fmt: skip
    conforms(slack.heard[0].json, "slack_message")
    assert slack.heard[0].json["channel"] == "#finance" and "*Spend this month*" in str(slack.heard[0].json)
    asked = slack.form("files.getUploadURLExternal")
    assert asked["alt_txt"].startswith("Spend by feature: ") and int(asked["length"]) == len(slack.heard[2].content)
    assert slack.heard[2].content.startswith(b"\x89PNG") and "Authorization" not in slack.heard[2].headers
    done = slack.form("files.completeUploadExternal")
    assert done["channel_id"] == "C024BE91L" and done["initial_comment"].startswith("Charts of Daily: ")
    assert json.loads(done["files"]) == [{"id": "F2", "title": "Spend by feature"}, {"id": "F4", "title": "Latency"}]
    assert state(row(found)) == ("sent", 1, 200) and row(found).reference == "C024BE91L:1503435956.000247"


@pytest.mark.parametrize(
    ("method", "reply", "told"),
    [
        ("files.getUploadURLExternal", Reply.json({"ok": False, "error": "missing_scope", "needed": "files:write"}), "missing_scope files:write"),
        ("files.getUploadURLExternal", Reply.json({"ok": True, "upload_url": "file:///etc/passwd", "file_id": "F"}), "https://"),
        ("sekret-2", Reply(500, "at /upload/v1/sekret-2"), "at ***"),
        ("files.completeUploadExternal", Reply.json({"ok": False, "error": "ratelimited"}, 429, Retry_After="70"), "ratelimited"),
    ],
)  # fmt: skip
def test_charts_that_slack_did_not_take_are_sent_again_without_the_figures(
    calls, digest, admin_user, slack, method, reply, told
):
    view = SavedView.objects.create(owner=admin_user, page="spend", name="v", query="range=7d")
    found = digest(emails=[], channel=bot(slack), overview=False, views=[view])
    slack.refuses[method] = reply
    work()
    found = row(found)
    assert found.state in ("pending", "failed") and told in found.answer and "the figures are in Slack" in found.answer
    assert TOKEN not in found.answer and "sekret" not in found.answer
    slack.refuses.clear()
    later(state="pending")
    work()
    assert slack.methods.count("chat.postMessage") == 1
    assert slack.methods[-1] == "files.completeUploadExternal" and state(found)[:2] == ("sent", 2)


def test_a_webhook_gets_figures_and_links_and_says_that_it_takes_no_images(digest, slack, site):
    found = digest(emails=["ada@example.com"], channel=webhook(slack))
    plan()
    DigestDelivery.objects.filter(way="email").delete()
    work()
    [heard] = slack.heard
    conforms(heard.json, "slack_message")
    assert "an incoming webhook takes no images" in str(heard.json)
    assert [button["text"]["text"] for button in heard.json["blocks"][-2]["elements"]] == [
        "Overview",
        "Change or stop it",
    ]
    assert state(row(found)) == ("sent", 1, 200)
    slack.refuses["sekret-part"] = Reply(404, "no_service")
    send_now(found, "ada")
    DigestDelivery.objects.filter(way="email").delete()
    work()
    failed = row(found, asked_by="ada")
    assert (failed.state, failed.answer) == ("failed", "no_service") and not Alert.objects.exists()


def test_a_long_digest_fits_into_a_message_of_slack(calls, digest, slack, admin_user, site):
    views = [
        SavedView.objects.create(owner=admin_user, page="spend", name=f"v{n}" * 20, query="range=7d") for n in range(20)
    ]
    digest(emails=[], channel=webhook(slack), views=views)
    work()
    conforms(slack.heard[0].json, "slack_message")
    assert len(slack.heard[0].json["blocks"]) == 50 and "There is more on the site" in str(slack.heard[0].json)


def test_an_inactive_channel_is_sent_nothing(digest, slack):
    found = digest(emails=[], channel=webhook(slack))
    Channel.objects.update(active=False)
    work()
    assert not slack.heard and "choose another" in row(found).answer


def test_one_that_is_asked_for_is_sent_also_when_inactive(digest, mail_server):
    found = digest(active=False)
    assert send_now(found, "ada") == 1
    work()
    assert "ada asked for it" in letter(mail_server).get_body(["plain"]).get_content()
    assert row(found).asked_by == "ada" and Digest.objects.get().next_at == found.next_at

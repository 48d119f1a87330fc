"""What the helpdesk asks a model, and what agents see of it."""

import json

import pytest
from django.contrib.auth.models import User

from gateway import errors, testing
from helpdesk import llm as asking
from tickets.models import Ticket

SORTED = json.dumps({"category": "billing", "priority": "low", "reason": "It is about money."})


def ask(browser, ticket, what, **typed):
    return browser.post(ticket.get_absolute_url(), {"ask": what, **typed})


def test_a_draft_is_made_from_the_conversation(llm, ticket):
    llm.reply("Dear Ms Ellis, …")
    assert asking.suggest_reply(ticket.pk).text == "Dear Ms Ellis, …"
    call = llm.calls[0]
    said = call.messages[-1]["content"]
    assert said.startswith("Please write a reply for this ticket: The front wheel is missing")
    assert said.index("Customer wrote: Hello") < said.index("Agent wrote: Dear Ms Ellis") < said.index("BW-20417-1/2")
    assert (call.feature, call.outcome, call.tenant) == ("helpdesk.reply", "ok", "brightwater")
    assert call.session_id == f"ticket-{ticket.pk}"
    assert 0 < call.cost_usd < 0.001


def test_calls_of_a_page_are_made_for_its_agent_and_team(llm, priya, ticket):
    llm.reply("It is about a wheel.")
    ask(priya, ticket, "summary")
    assert llm.calls[0].user_ref and llm.calls[0].row["cohort"] == "frontline"


def test_the_page_shows_the_draft_in_the_form_with_its_cost(llm, priya, ticket):
    llm.reply("The second box is on its way.", usage={"prompt_tokens": 1000, "completion_tokens": 100})
    page = ask(priya, ticket, "reply").text
    assert "The second box is on its way.</textarea>" in page
    assert "model rehearsal · $0.0012" in page
    assert ticket.messages.count() == 3


def test_what_the_agent_has_typed_stays(llm, priya, ticket):
    llm.reply("The second box is on its way.")
    page = ask(priya, ticket, "reply", text="Dear Margaret,", solved="on").text
    assert "Dear Margaret,\n\nThe second box is on its way.</textarea>" in page
    assert 'name="solved" id="id_solved" checked' in page
    llm.fail(errors.BudgetExceeded)
    for what in ("reply", "summary", "classify"):
        assert "Dear Margaret,</textarea>" in ask(priya, ticket, what, text="Dear Margaret,").text


def test_agents_are_told_that_a_model_writes(priya, ticket):
    page = priya.get(ticket.get_absolute_url()).text
    assert "Drafts are written by a language model." in page
    assert "Summaries are written by a language model" in page


def test_drafts_are_in_beta_for_one_organisation(llm, priya):
    other = Ticket.objects.get(organisation__slug="fenwick", status="open")
    page = priya.get(other.get_absolute_url()).text
    assert "Draft a reply" not in page and "Summarise" in page
    assert "This is switched off at the moment." in ask(priya, other, "reply").text
    assert [call.outcome for call in llm.calls] == ["refused_switch"]


def test_a_summary_is_shown(llm, priya, ticket):
    llm.reply("She waits for a wheel.\n\nNext: the new address.")
    assert "<p>She waits for a wheel.</p>" in ask(priya, ticket, "summary").text


def test_a_suggested_sorting_is_filled_in_and_not_saved(llm, priya, ticket):
    llm.reply(SORTED)
    page = ask(priya, ticket, "classify").text
    assert '<option value="billing" selected>' in page and '<option value="low" selected>' in page
    assert "It is about money." in page
    ticket.refresh_from_db()
    assert (ticket.category, ticket.priority) == ("delivery", "high")


def test_an_answer_that_is_no_sorting_changes_nothing(llm, priya, ticket):
    llm.reply("I would say billing.").reply("[]").reply('{"category": "", "priority": "low", "reason": ""}')
    llm.reply('{"category": "billing"}').reply('{"category": "pets", "priority": "low", "reason": ""}')
    for _ in range(4):
        with pytest.raises(asking.UnusableReply, match=r"^Call 0"):
            asking.classify(ticket.pk)
    assert "answer could not be used" in ask(priya, ticket, "classify").text


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (errors.BudgetExceeded, "The budget for this is used up"),
        (errors.FeatureDisabled, "switched off at the moment"),
        (errors.PolicyRefused, "may not be given to a model"),
        (errors.RateLimited, "Please try again in a minute"),
        (503, "Please try again in a minute"),
        (errors.ProviderTimeout, "Please try again in a minute"),
        (401, "tell an administrator. Reference: 0"),
        (errors.LedgerUnavailable, "tell an administrator."),
    ],
)
def test_what_went_wrong_is_told_where_it_was_asked(llm, priya, ticket, failure, told):
    llm.fail(failure)
    for what in ("reply", "summary", "classify"):
        answer = ask(priya, ticket, what)
        assert answer.status_code == 200
        assert answer.text.count('role="alert"') == 1 and told in answer.text


def test_a_helpdesk_without_a_catalog_is_still_a_helpdesk(priya, ticket, caplog):
    with testing.stub():
        page = priya.get(ticket.get_absolute_url()).text
    assert "BW-20417-1/2" in page and "Draft a reply" not in page
    assert "There is no feature 'helpdesk.reply'" in caplog.text


def test_nobody_asks_about_tickets_of_others(llm, tomas, ticket):
    for what in ("reply", "summary", "classify"):
        assert ask(tomas, ticket, what).status_code == 404
    assert llm.calls == []


def test_an_unknown_question_is_the_page(llm, priya, ticket):
    assert ask(priya, ticket, "a song").status_code == 200
    assert llm.calls == []


def test_answers_of_a_model_are_text(llm, priya, ticket):
    llm.reply("<script>alert(1)</script>")
    for what in ("reply", "summary"):
        assert "<script>" not in ask(priya, ticket, what).text


def test_names_and_addresses_stay_here_and_come_back_in_the_draft(ticket):
    """With the policy's redaction: the model sees placeholders, the agent sees whom they stand for."""
    ticket.messages.create(text="Write to m.ellis@example.net from now on.", sent_at=ticket.opened_at)
    with testing.stub(catalog="catalog.toml", redaction=True) as llm:
        llm.reply("Dear [PERSON_1], we have noted [EMAIL_ADDRESS_1].")
        assert asking.suggest_reply(ticket.pk).text == "Dear Margaret Ellis, we have noted m.ellis@example.net."
        sent = json.dumps(llm.calls[0].messages)
    assert not any(known in sent for known in ("Margaret", "Priya", "020 7946", "m.ellis"))


def test_staff_see_tollhouse_beside_their_own_tables(client, ticket):
    client.force_login(User.objects.get(username="admin"))
    page = client.get("/admin/").text
    assert "Organisations" in page and "The gate" in page

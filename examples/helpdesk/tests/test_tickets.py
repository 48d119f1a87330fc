"""The helpdesk as it was before it had a model; these tests hold with one too."""

import pytest
from django.contrib.auth.models import User

from tickets.models import Ticket


def test_agents_see_the_tickets_of_the_organisations_that_they_serve(priya):
    page = priya.get("/?status=all").text
    assert "The front wheel is missing" in page and "No mail for a new password" in page
    assert "Appointment reminders" not in page


def test_the_list_shows_open_tickets_first(priya):
    assert "Which mudguards" not in priya.get("/").text
    assert "Which mudguards" in priya.get("/?status=solved").text


def test_a_ticket_shows_its_conversation_in_order(priya, ticket):
    page = priya.get(ticket.get_absolute_url()).text
    assert page.index("there was no front wheel") < page.index("Wheels travel in a box") < page.index("BW-20417-1/2")


@pytest.mark.parametrize("action", ["", "reply/", "triage/"])
def test_tickets_of_others_are_not_there(tomas, ticket, action):
    page = f"{ticket.get_absolute_url()}{action}"
    answer = tomas.post(page, {"text": "Hello"}) if action else tomas.get(page)
    assert answer.status_code == 404
    assert ticket.messages.count() == 3


def test_whoever_is_not_logged_in_is_asked_to(client, ticket):
    assert client.get(ticket.get_absolute_url())["Location"].startswith("/login/")
    assert "Log in" in client.get("/login/").text


def test_an_administrator_who_is_no_agent_sees_no_tickets(client, ticket):
    client.force_login(User.objects.get(username="admin"))
    assert "You are not an agent yet" in client.get("/").text
    assert client.get(ticket.get_absolute_url()).status_code == 404


def test_a_reply_is_sent_and_the_ticket_waits_for_the_customer(priya, ticket):
    page = priya.post(f"{ticket.get_absolute_url()}reply/", {"text": "It is on its way."}, follow=True).text
    assert "Your reply to Margaret Ellis was sent." in page and "It is on its way." in page
    assert ticket.messages.last().agent.user.username == "priya"
    assert Ticket.objects.get(pk=ticket.pk).status == Ticket.Status.WAITING


def test_an_empty_reply_is_not_sent(priya, ticket):
    assert "This field is required." in priya.post(f"{ticket.get_absolute_url()}reply/", {"text": " "}).text
    assert ticket.messages.count() == 3


def test_a_ticket_is_sorted(priya, ticket):
    priya.post(f"{ticket.get_absolute_url()}triage/", {"status": "open", "priority": "low", "category": "billing"})
    sorted_ticket = Ticket.objects.get(pk=ticket.pk)
    assert (sorted_ticket.priority, sorted_ticket.category) == ("low", "billing")


def test_texts_of_customers_are_text(priya, ticket):
    ticket.messages.create(text="<script>alert(1)</script>", sent_at=ticket.opened_at)
    answer = priya.get(ticket.get_absolute_url())
    assert "&lt;script&gt;" in answer.text and "<script>" not in answer.text
    assert "default-src 'none'" in answer["Content-Security-Policy"]

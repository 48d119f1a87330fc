"""What the helpdesk asks a model: a draft of a reply, a summary, how to sort a ticket. Every call passes through Tollhouse."""

import json
import logging
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest

import gateway
from gateway import errors
from tickets.models import Ticket

logger = logging.getLogger(__name__)

#: By the name that pages use; the features themselves are in catalog.toml.
FEATURES = {"reply": "helpdesk.reply", "summary": "helpdesk.summary", "classify": "helpdesk.classify"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sorting:
    """How a model would sort a ticket, why in a sentence, and the reply that says so."""

    category: Ticket.Category
    priority: Ticket.Priority
    reason: str
    reply: gateway.Reply


class UnusableReply(Exception):
    """A model answered something else than it was asked for."""


def request_context(request: HttpRequest) -> dict[str, str]:
    """For whom a request's calls are made, besides its user: agents are a cohort by team."""
    agent = getattr(request.user, "agent", None)
    return {"cohort": agent.team} if agent else {}


def suggest_reply(ticket_id: int) -> gateway.Reply:
    """A draft of the next reply to the customer. Raises GatewayError."""
    return _ask("reply", ticket_id)


def summarise(ticket_id: int) -> gateway.Reply:
    """What a colleague must know to take the ticket over. Raises GatewayError."""
    return _ask("summary", ticket_id)


def classify(ticket_id: int) -> Sorting:
    """Category and priority that fit the ticket. Raises GatewayError, UnusableReply."""
    reply = _ask("classify", ticket_id)
    try:
        found = json.loads(reply.text)
        category, priority = Ticket.Category(found["category"]), Ticket.Priority(found["priority"])
        if category is Ticket.Category.UNSORTED:
            raise ValueError("no category")
        return Sorting(category=category, priority=priority, reason=str(found["reason"]), reply=reply)
    except (ValueError, KeyError, TypeError) as error:
        raise UnusableReply(f"Call {reply.call_id}: {error!r}") from error


def offered(ticket: Ticket) -> dict[str, str]:
    """What is on for the ticket's organisation, each with what agents are told about it."""
    tenant = ticket.organisation.slug
    try:
        return {
            name: gateway.disclosure(feature)
            for name, feature in FEATURES.items()
            if gateway.enabled(feature, tenant=tenant)
        }
    except errors.GatewayError as error:
        # A helpdesk without its model is still a helpdesk.
        logger.warning("No feature is offered: %s", error)
        return {}


def explain(error: errors.GatewayError | UnusableReply) -> str:
    """What an agent is told in place of an answer."""
    match error:
        case errors.BudgetExceeded():
            return "The budget for this is used up for now. Please go on without."
        case errors.FeatureDisabled():
            return "This is switched off at the moment. Please go on without."
        case errors.PolicyRefused():
            return "This ticket holds data that may not be given to a model. Please go on without."
        case errors.RateLimited() | errors.ProviderTimeout() | errors.ProviderError(transient=True):
            return "The model is busy and did not answer. Please try again in a minute."
        case UnusableReply():
            return (
                "The model's answer could not be used, and nothing was changed. Please try again, or sort it yourself."
            )
        case _:
            reference = f" Reference: {error.call_id}" if error.call_id else ""
            return f"The model cannot be reached. Please go on without, and tell an administrator.{reference}"


def _ask(name: str, ticket_id: int) -> gateway.Reply:
    ticket = Ticket.objects.select_related("organisation").get(pk=ticket_id)
    variables: dict[str, Any] = {
        "subject": ticket.subject,
        "customer": ticket.customer_name,
        "conversation": [
            {"from": "Agent" if message.agent_id else "Customer", "text": message.text}
            for message in ticket.messages.all()
        ],
    }
    return gateway.complete(FEATURES[name], variables, tenant=ticket.organisation.slug, session=f"ticket-{ticket.pk}")

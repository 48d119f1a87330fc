"""The pages: a list of tickets, and a ticket with its conversation."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from gateway.errors import GatewayError
from helpdesk import llm
from tickets.forms import ReplyForm, TriageForm
from tickets.models import Ticket


@login_required
def ticket_list(request: HttpRequest) -> HttpResponse:
    """The tickets of the organisations that the agent serves, by status."""
    status = request.GET.get("status", Ticket.Status.OPEN)
    tickets = Ticket.objects.visible_to(request.user).select_related("organisation")
    if status in Ticket.Status:
        tickets = tickets.filter(status=status)
    context = {"tickets": tickets, "status": status, "statuses": [*Ticket.Status.choices, ("all", "All")]}
    return render(request, "tickets/list.html", context)


@login_required
def ticket(request: HttpRequest, ticket_id: int) -> HttpResponse:
    """A ticket, its conversation, the forms to answer and to sort it, and what a model says where it was asked."""
    ticket = _visible(request, ticket_id)
    return _page(request, ticket, **(_asked(request, ticket) if request.method == "POST" else {}))


@login_required
@require_POST
def reply(request: HttpRequest, ticket_id: int) -> HttpResponse:
    """Sends the agent's answer."""
    ticket = _visible(request, ticket_id)
    form = ReplyForm(request.POST)
    if not form.is_valid():
        return _page(request, ticket, reply_form=form)
    ticket.messages.create(agent=request.user.agent, text=form.cleaned_data["text"], sent_at=timezone.now())
    ticket.status = Ticket.Status.SOLVED if form.cleaned_data["solved"] else Ticket.Status.WAITING
    ticket.save(update_fields=["status"])
    messages.success(request, f"Your reply to {ticket.customer_name} was sent.")
    return redirect(ticket)


@login_required
@require_POST
def triage(request: HttpRequest, ticket_id: int) -> HttpResponse:
    """Saves how the ticket is sorted."""
    ticket = _visible(request, ticket_id)
    form = TriageForm(request.POST, instance=ticket)
    if not form.is_valid():
        return _page(request, ticket, triage_form=form)
    form.save()
    messages.success(request, "The ticket was sorted.")
    return redirect(ticket)


def _visible(request: HttpRequest, ticket_id: int) -> Ticket:
    """The ticket, or a 404 that does not tell whether it exists."""
    tickets = Ticket.objects.visible_to(request.user).select_related("organisation")
    return get_object_or_404(tickets, pk=ticket_id)


def _asked(request: HttpRequest, ticket: Ticket) -> dict[str, Any]:
    """What the page shows in answer to one of its buttons. Whatever the agent has typed stays."""
    ask, written = request.POST.get("ask", ""), request.POST.get("text", "").strip()
    solved = "solved" in request.POST
    shown: dict[str, Any] = {"reply_form": ReplyForm(initial={"text": written, "solved": solved})}
    try:
        match ask:
            case "reply":
                draft = llm.suggest_reply(ticket.pk)
                text = f"{written}\n\n{draft.text}" if written else draft.text
                shown |= {"draft": draft, "reply_form": ReplyForm(initial={"text": text, "solved": solved})}
            case "summary":
                shown |= {"summary": llm.summarise(ticket.pk)}
            case "classify":
                sorting = llm.classify(ticket.pk)
                suggested = {"category": sorting.category, "priority": sorting.priority}
                shown |= {"sorting": sorting, "triage_form": TriageForm(instance=ticket, initial=suggested)}
    except (GatewayError, llm.UnusableReply) as error:
        shown |= {"refused": {ask: llm.explain(error)}}
    return shown


def _page(request: HttpRequest, ticket: Ticket, **more: Any) -> HttpResponse:
    context = {
        "ticket": ticket,
        "conversation": ticket.messages.select_related("agent__user"),
        "reply_form": ReplyForm(),
        "triage_form": TriageForm(instance=ticket),
        "offered": llm.offered(ticket),
    }
    return render(request, "tickets/ticket.html", {**context, **more})

"""`manage.py seed`: organisations, agents and tickets to try the helpdesk with. All people in it are invented."""

import tomllib
from argparse import ArgumentParser
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand
from django.db import transaction
from django.utils import timezone

from tickets.models import Agent, Organisation, Ticket

SEED = Path(__file__).with_name("seed.toml")


class Command(BaseCommand):
    help = "Fill an empty helpdesk with invented organisations, agents and tickets."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--password", required=True, help="The password of every agent and of `admin`.")

    @transaction.atomic
    def handle(self, *args: Any, password: str, **options: Any) -> None:
        if Organisation.objects.exists():
            self.stdout.write("The helpdesk is not empty; nothing was changed.")
            return
        data = tomllib.loads(SEED.read_text())
        organisations = {row["slug"]: Organisation.objects.create(**row) for row in data["organisations"]}
        agents = {}
        for row in data["agents"]:
            first, last = row["name"].split()
            user = User.objects.create_user(row["username"], password=password, first_name=first, last_name=last)
            agents[row["username"]] = agent = Agent.objects.create(user=user, team=row["team"])
            agent.organisations.set(organisations[slug] for slug in row["organisations"])
        User.objects.create_superuser("admin", password=password)
        for row in data["tickets"]:
            _ticket(organisations[row.pop("organisation")], agents, row)
        if options["verbosity"]:
            self.stdout.write(
                f"{len(organisations)} organisations, {len(agents)} agents, {len(data['tickets'])} tickets."
            )


def _ticket(organisation: Organisation, agents: dict[str, Agent], row: dict[str, Any]) -> None:
    """One ticket with its messages, whose ages are in hours."""
    now = timezone.now()
    messages = row.pop("messages")
    opened_at = now - timedelta(hours=messages[0]["hours_ago"])
    ticket = Ticket.objects.create(organisation=organisation, opened_at=opened_at, **row)
    for message in messages:
        ticket.messages.create(
            agent=agents.get(message.get("agent")),
            text=message["text"].strip(),
            sent_at=now - timedelta(hours=message["hours_ago"]),
        )

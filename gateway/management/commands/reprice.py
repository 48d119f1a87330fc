"""`manage.py reprice --since …`: costs after a price correction, as adjustments."""

import getpass
from argparse import ArgumentParser
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from gateway.management import arguments
from gateway.models import AuditEntry
from gateway.repricing import Busy, Range, Sum, reprice
from gateway.types import ZERO


class Command(BaseCommand):
    help = (
        "Recompute what calls cost after the price book was corrected, and book the differences as adjustments; rows stay as "
        "they are. Calls without a price get their cost. Run again, it changes nothing; killed, it goes on where it stopped."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--since", required=True, help="First moment: a day such as 2026-09-01 (UTC), or a time.")
        parser.add_argument("--until", default="", help="End, exclusive, written likewise; default: now.")
        parser.add_argument("--feature", default="", help="Only calls of this feature.")
        parser.add_argument("--model", default="", help="Only calls that this model served, as their rows name it.")
        parser.add_argument("--dry-run", action="store_true", help="Show what would change; book nothing.")
        parser.add_argument(
            "--reason", type=arguments.reason, default="", help="Why, for the adjustments and the audit log."
        )
        parser.add_argument(
            "--actor",
            type=arguments.actor,
            default="",
            help="Who reprices, for the audit log; default: the system's user.",
        )

    def handle(self, *args: Any, since: str, until: str, dry_run: bool, reason: str, **options: Any) -> None:
        wanted = Range(
            since=_moment("--since", since),
            until=_moment("--until", until) if until else timezone.now(),
            feature=options["feature"],
            model=options["model"],
        )
        if wanted.since >= wanted.until:
            raise CommandError(f"Nothing lies between {since} and {until or 'now'}: --since comes before --until.")
        actor, why = options["actor"] or getpass.getuser(), reason.strip() or "Repriced by the corrected price book."
        try:
            sums = reprice(wanted, dry_run=dry_run, reason=why, actor=actor)
        except Busy:
            raise CommandError(
                "Another run is repricing. Wait for its end; what it did will not be done twice."
            ) from None
        total = self._show(sums)
        if dry_run:
            self.stdout.write("Nothing was done (dry run).")
        elif total.calls:
            _audit(wanted, total, why, actor)

    def _show(self, sums: dict[tuple[Any, str], Sum]) -> Sum:
        total = Sum()
        for (day, model), found in sorted(sums.items()):
            if found.calls:
                self.stdout.write(f"{day}  {model:40} {_words(found)}")
            for name in ("calls", "unpriced", "left", "before_usd", "change_usd"):
                setattr(total, name, getattr(total, name) + getattr(found, name))
        self.stdout.write(f"In all: {_words(total)}")
        if total.left:
            self.stdout.write(
                f"{total.left} calls were left alone: without a price, lost less than a day ago, or settled late."
            )
        return total


def _words(found: Sum) -> str:
    unpriced = f" ({found.unpriced} without a price so far)" if found.unpriced else ""
    after = found.before_usd + found.change_usd
    return (
        f"{found.calls} calls{unpriced}, {_usd(found.before_usd)} -> {_usd(after)}, {_usd(found.change_usd, sign='+')}"
    )


def _usd(value: Decimal, sign: str = "") -> str:
    return f"{value or ZERO:{sign}.9f}"


def _moment(name: str, given: str) -> datetime:
    try:
        found = datetime.fromisoformat(given)
    except ValueError:
        raise CommandError(f"{name} is {given!r}, which is no time; write 2026-09-01 or 2026-09-01T14:00Z.") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _audit(wanted: Range, total: Sum, reason: str, actor: str) -> None:
    AuditEntry.objects.create(
        actor=actor,
        action="calls.reprice",
        subject=f"calls of {wanted.feature or 'every feature'}, {wanted.model or 'every model'}"[:255],
        reason=reason,
        detail={
            "since": wanted.since.isoformat(),
            "until": wanted.until.isoformat(),
            "calls": total.calls,
            "change_usd": f"{total.change_usd:f}",
        },
    )

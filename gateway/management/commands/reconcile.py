"""`manage.py reconcile PROVIDER FILE …`: a vendor's bill beside the ledger."""

import getpass
import sys
from argparse import ArgumentParser
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from gateway.bills.booking import book, lock, store
from gateway.bills.causes import explain
from gateway.bills.compare import Comparison, Line, compare
from gateway.bills.entries import BillError
from gateway.management import arguments
from gateway.models import Provider

#: Exit codes: the bill and the ledger agree, they differ, the exports cannot be read.
DIFFERS, UNREADABLE = 1, 2


class Command(BaseCommand):
    help = (
        "Compare a vendor's usage or cost exports with the ledger, by UTC day, model and key. The comparison is kept as a bill. "
        "The exit code is 0 where they agree, 1 where they differ, 2 where an export cannot be read."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("provider", metavar="PROVIDER", help="Name of the provider whose calls they bill.")
        parser.add_argument(
            "files", metavar="FILE", nargs="+", type=Path, help="Exports of cost, of usage, or both, of the same days."
        )
        parser.add_argument(
            "--key", metavar="KEY[=PROVIDER]", action="append", default=[],
            help="The vendor's key, as the export names it, that this provider (or the one named) uses; may be repeated. "
            "Other keys of the export then count as calls outside the gate. Default: all keys are this provider's.",
        )  # fmt: skip
        parser.add_argument("--tolerance", metavar="PERCENT", default="1", help="What still agrees; default: 1.")
        parser.add_argument("--book", action="store_true", help="Book an adjustment for each line that differs.")
        parser.add_argument(
            "--reason",
            type=arguments.reason,
            default="",
            help="Why they are booked, for the audit log; needed with --book.",
        )
        parser.add_argument("--all", action="store_true", help="Show the lines that agree, too.")
        parser.add_argument(
            "--actor",
            type=arguments.actor,
            default="",
            help="Who books, for the audit log; default: the system's user.",
        )

    def handle(self, *args: Any, provider: str, files: list[Path], book: bool, reason: str, **options: Any) -> None:
        if book and not reason.strip():
            raise CommandError("Say why with --reason: it stands in the audit log.", returncode=UNREADABLE)
        keys = _keys(options["key"], provider)
        tolerance = _tolerance(options["tolerance"])
        actor = options["actor"] or getpass.getuser()
        with transaction.atomic():
            lock()
            try:
                found = compare(provider, files, keys, tolerance)
            except BillError as error:
                raise CommandError(str(error), returncode=UNREADABLE) from None
            explain(found.lines)
            bill = store(provider, found, tolerance, actor)
            booked = self._book(bill, found, reason.strip(), actor) if book else 0
        self._show(found, everything=options["all"])
        self.stdout.write(f"Kept as bill {bill.pk}.")
        if book:
            self.stdout.write(f"Booked: {booked} adjustments.")
        if not found.matches and not book:
            sys.exit(DIFFERS)

    def _book(self, bill: Any, found: Comparison, reason: str, actor: str) -> int:
        if not found.has_cost:
            raise CommandError(
                "These exports have tokens and no cost, so there is nothing to book. Add the vendor's cost export.",
                returncode=UNREADABLE,
            )
        return len(book(bill, reason, actor))

    def _show(self, found: Comparison, *, everything: bool) -> None:
        self.stdout.write(f"{', '.join(found.files)}: {found.since} to {found.until}")
        shown = [line for line in found.lines if everything or line.differs or not line.provider]
        if shown:
            self.stdout.write(_columns("day", "model", "key", "billed", "ledger", "difference"))
        for line in shown:
            self.stdout.write(_shown(line))
            for cause in line.causes:
                self.stdout.write(f"            {cause}")
        agreeing = sum(not line.differs for line in found.own)
        self.stdout.write(f"{agreeing} of {len(found.own)} lines agree.")


def _keys(given: list[str], provider: str) -> dict[str, str]:
    """The vendor's keys with the provider of each. Raises CommandError for a provider that is not configured."""
    pairs = [key.partition("=") for key in given]
    keys = {key.strip(): owner.strip() or provider for key, _, owner in pairs}
    known = set(Provider.objects.values_list("name", flat=True))
    for name in (provider, *keys.values()):
        if name not in known:
            raise CommandError(
                f"No provider is named {name}. Configured are {', '.join(sorted(known)) or 'none'}.",
                returncode=UNREADABLE,
            )
    return keys


def _tolerance(given: str) -> Decimal:
    try:
        found = Decimal(given)
    except InvalidOperation:
        found = Decimal(-1)
    if not 0 <= found <= 100:
        raise CommandError(f"--tolerance is a percentage from 0 to 100, not {given!r}.", returncode=UNREADABLE)
    return found


def _columns(day: str, model: str, key: str, *amounts: str) -> str:
    return f"{day:10}  {model:32} {key:20} " + " ".join(f"{amount:>16}" for amount in amounts)


def _shown(line: Line) -> str:
    model = f"{line.provider}/{line.model or 'all models'}" if line.provider else line.model
    if line.difference_usd is not None:
        amounts = [f"{value:.6f}" for value in (line.billed.usd or 0, line.booked.usd)] + [
            f"{line.difference_usd:+.6f}"
        ]
    else:
        amounts = [
            f"{line.billed.tokens or 0:,} tok",
            f"{line.booked.tokens:,} tok",
            f"{line.difference_tokens or 0:+,}",
        ]
    return _columns(str(line.day), model, line.key, *amounts)

"""`manage.py audit verify`: whether the audit log is as it was written."""

import getpass
from argparse import ArgumentParser, ArgumentTypeError
from contextlib import suppress
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, transaction

from gateway import audit_chain
from gateway.audit_chain import Broken, Head
from gateway.models import AuditEntry


class Command(BaseCommand):
    help = "The audit log: verify that no entry was changed, deleted or slipped in."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        verify = verbs.add_parser(
            "verify",
            help="Read the whole chain; end with 1 and say where, if it is broken. Prints its head, alone on the last line.",
        )
        verify.add_argument(
            "--head",
            type=_head,
            help="A head that was noted earlier: what it stood for must still be there, unchanged.",
        )

    def handle(self, *args: Any, verb: str, head: Head | None, **options: Any) -> None:
        try:
            found = audit_chain.verify(head)
        except Broken as error:
            # Where the head is gone, nothing can be added to the log.
            with suppress(DatabaseError), transaction.atomic():
                self._note({"ok": False, "why": str(error)})
            raise CommandError(f"The audit log is broken. {error}") from None
        self._note({"ok": True, "head": str(found)})
        self.stdout.write(f"{found.entries} entries, each as it was written. Keep this head elsewhere:")
        self.stdout.write(str(found))

    def _note(self, detail: dict[str, Any]) -> None:
        AuditEntry.objects.create(actor=getpass.getuser(), action="audit.verify", subject="audit log", detail=detail)


def _head(text: str) -> Head:
    try:
        return Head.parse(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None

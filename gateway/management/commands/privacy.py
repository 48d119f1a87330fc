"""`manage.py privacy export | erase`: what is kept of a person."""

import getpass
import json
import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gateway import keys, privacy
from gateway.management import arguments
from gateway.privacy import CannotErase


class Command(BaseCommand):
    help = "Export or erase everything that is kept of a person; what the calls cost stays."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        export = verbs.add_parser("export", help="Write it as JSON.")
        export.add_argument(
            "--output", metavar="FILE", help="A new file, readable by you alone, in place of the terminal."
        )
        export.add_argument("--reason", type=arguments.reason, default="", help="Goes into the audit log.")
        erase = verbs.add_parser("erase", help="Erase it, for good. Refused under a legal hold.")
        erase.add_argument(
            "--reason",
            type=arguments.reason,
            required=True,
            help="Goes into the audit log, e.g. the number of the request.",
        )
        for verb in (export, erase):
            who = verb.add_mutually_exclusive_group(required=True)
            who.add_argument("--user-ref", metavar="REF", help="The user reference, as calls have it.")
            who.add_argument(
                "--user",
                metavar="ID",
                help="The id that the application passes, from which the reference is made; - reads it.",
            )

    def handle(
        self, *args: Any, verb: str, user_ref: str | None, user: str | None, reason: str, **options: Any
    ) -> None:
        if user == "-":
            # A command line is seen by others on the machine and stays in the shell's history.
            user = sys.stdin.readline().strip()
        ref = keys.user_ref(user) if user else user_ref or ""
        try:
            if verb == "export":
                self._export(ref, reason, options["output"])
            else:
                counts = privacy.erase(ref, actor=getpass.getuser(), reason=reason)
                told = ", ".join(f"{count} {kind}" for kind, count in counts.items())
                self.stdout.write(f"Erased: {told}." if any(counts.values()) else "Nothing is kept of that person.")
        except (CannotErase, ValueError) as error:
            raise CommandError(str(error)) from None

    def _export(self, ref: str, reason: str, output: str | None) -> None:
        if output is None:
            found = privacy.export(ref, actor=getpass.getuser(), reason=reason)
            self.stdout.write(json.dumps(found, indent=2, ensure_ascii=False))
            return
        try:
            descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise CommandError(f"{output} cannot be made: {error.strerror}.") from None
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            found = privacy.export(ref, actor=getpass.getuser(), reason=reason)
            json.dump(found, file, indent=2, ensure_ascii=False)
        self.stdout.write(f"Written to {output}.")

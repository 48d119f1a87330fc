"""`manage.py catalog apply FILE | export`: configuration as code."""

import getpass
import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gateway.configuration.apply import Refused, apply
from gateway.configuration.document import Document
from gateway.configuration.export import export
from gateway.configuration.rows import Change
from gateway.management import arguments
from gateway.models import Provider


class Command(BaseCommand):
    help = "Apply a catalog file, or print the catalog as one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        applying = verbs.add_parser("apply", help="Show the plan of a file and apply it, all or nothing.")
        applying.add_argument("file")
        applying.add_argument("--dry-run", action="store_true", help="Show the plan only.")
        applying.add_argument(
            "--actor",
            type=arguments.actor,
            default="",
            help="Who applies it, for the audit log; default: the system's user.",
        )
        exporting = verbs.add_parser("export", help="Print the catalog as a file that makes it again.")
        exporting.add_argument("--secrets", action="store_true", help="With the provider keys that are stored.")

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        getattr(self, verb)(**options)

    def apply(self, *, file: str, dry_run: bool, actor: str, **options: Any) -> None:
        try:
            document = Document.read(file)
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror or error}.") from None
        try:
            apply(document, actor=actor or getpass.getuser(), dry_run=dry_run, show=self._show)
        except Refused as error:
            for problem in error.problems:
                self.stderr.write(str(problem))
            self.stderr.write(f"Nothing was applied: {len(error.problems)} to mend.")
            sys.exit(1)
        self.stdout.write("Nothing was applied (dry run)." if dry_run else "Applied.")
        self._warn_of_missing_keys()

    def _show(self, changes: list[Change]) -> None:
        for change in changes:
            if change.kind != "=":
                self.stdout.write(str(change))
        self.stdout.write(f"= {sum(change.kind == '=' for change in changes)} unchanged")

    def _warn_of_missing_keys(self) -> None:
        for name, variable in Provider.objects.exclude(api_key_env="").values_list("name", "api_key_env"):
            if not os.environ.get(variable):
                self.stderr.write(f"Provider {name} has no key yet: set {variable} for the server, or its calls fail.")

    def export(self, *, secrets: bool, **options: Any) -> None:
        self.stdout.write(export(with_secrets=secrets), ending="")

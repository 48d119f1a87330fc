"""`manage.py prompts pull DIR | push DIR | verify`: prompts kept as files, and whether versions are what they are named after."""

import getpass
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gateway.configuration.prompt_files import Refused, pull, push
from gateway.configuration.rows import Change
from gateway.management import arguments
from gateway.models import PromptVersion
from gateway.prompts.verify import misnamed


class Command(BaseCommand):
    help = (
        "Write prompts into files, one for each feature, make versions of what the files hold, or verify that each version's "
        "address is that of its content."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        pulling = verbs.add_parser("pull", help="Write what is live into DIR/FEATURE.toml.")
        pulling.add_argument("folder", metavar="DIR", type=Path)
        pulling.add_argument(
            "--prompt", metavar="FEATURE", nargs="+", action="extend", default=[], help="Only these; default: all."
        )
        pushing = verbs.add_parser(
            "push", help="Show what is new in DIR/*.toml and make versions of it, all or nothing."
        )
        pushing.add_argument("folder", metavar="DIR", type=Path)
        pushing.add_argument("--deploy", action="store_true", help="Put each file's version live, alone.")
        pushing.add_argument(
            "--reason", type=arguments.reason, default="", help="Why they go live; default: that they were pushed."
        )
        pushing.add_argument("--dry-run", action="store_true", help="Show the plan only.")
        pushing.add_argument(
            "--actor",
            type=arguments.actor,
            default="",
            help="Who pushes, for the audit log; default: the system's user.",
        )

        verbs.add_parser(
            "verify",
            help="Compute every version's address from its content; end with 1 and name those that have another.",
        )

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        try:
            getattr(self, verb)(**options)
        except OSError as error:
            where = error.filename or options["folder"]
            raise CommandError(f"{where} cannot be read or written: {error.strerror or error}.") from None
        except Refused as error:
            for problem in error.problems:
                self.stderr.write(str(problem))
            self.stderr.write(f"Nothing was done: {len(error.problems)} to mend.")
            sys.exit(1)

    def pull(self, *, folder: Path, prompt: list[str], **options: Any) -> None:
        pull(folder, prompt, self.stdout.write)

    def push(self, *, folder: Path, deploy: bool, reason: str, dry_run: bool, actor: str, **options: Any) -> None:
        if not folder.is_dir():
            raise CommandError(f"{folder} is no folder.")
        if reason and not deploy:
            raise CommandError("A reason is for putting versions live; add --deploy, or leave it out.")
        why = (reason.strip() or f"prompts push {folder}"[:500]) if deploy else ""
        push(folder, actor=actor or getpass.getuser(), deploy=why, dry_run=dry_run, show=self._show)
        self.stdout.write("Nothing was done (dry run)." if dry_run else "Done.")

    def verify(self, **options: Any) -> None:
        wrong = [*misnamed()]
        for version in wrong:
            by = f" by {version.created_by}" if version.created_by else ""
            self.stderr.write(
                f"{version}, row {version.pk}, made {version.created_at:%Y-%m-%d %H:%M:%S %Z}{by}: {version.address} is not the "
                "address of its content."
            )
        all = PromptVersion.objects.count()
        if wrong:
            raise CommandError(
                f"{len(wrong)} of {all} versions are not what they are named after: written past the gate, or changed."
            )
        self.stdout.write(f"Versions: {all}, each under the address of its content.")

    def _show(self, changes: list[Change]) -> None:
        for change in changes:
            if change.kind != "=":
                self.stdout.write(str(change))
        self.stdout.write(f"= {sum(change.kind == '=' for change in changes)} unchanged")

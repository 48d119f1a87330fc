"""`manage.py redaction spans FILE.jsonl [--policy P]`: what a policy finds in texts."""

import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from redaction.engine import spans
from redaction.models import RedactionPolicy
from redaction.policies import DEFAULT, Policy


class Command(BaseCommand):
    help = "Find personal data in texts, as a policy would."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        find = verbs.add_parser("spans", help="Print the spans found in each line of a file.")
        find.add_argument("file", help='Lines {"id": …, "text": …}.')
        find.add_argument("--policy", default="", help="Name of a policy; without it, the built-in default.")

    def handle(self, *args: Any, file: str, policy: str, **options: Any) -> None:
        rules, failed = _policy(policy), False
        try:
            with open(file, encoding="utf-8") as lines:
                texts = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.") from None
        for number, line in texts:
            try:
                case = json.loads(line)
                found = spans(case["text"], rules)
            except (ValueError, KeyError, TypeError):
                failed = True
                self.stderr.write(f'{file}:{number}: not understood. Write {{"id": …, "text": "…"}} on each line.')
                continue
            self.stdout.write(json.dumps({"id": case.get("id"), "spans": [asdict(span) for span in found]}))
        if failed:
            sys.exit(1)


def _policy(name: str) -> Policy:
    if not name:
        return DEFAULT
    row = RedactionPolicy.objects.filter(name=name).first()
    if row is None:
        known = ", ".join(RedactionPolicy.objects.values_list("name", flat=True)) or "none yet"
        raise CommandError(f"There is no policy {name!r}; there are: {known}.")
    return row.as_policy()

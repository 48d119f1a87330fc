"""`manage.py redaction spans FILE.jsonl`, `manage.py redaction score FILE.jsonl …`: what is found in texts, and how well."""

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from redaction.engine import spans
from redaction.models import RedactionPolicy
from redaction.policies import KNOWN_ENTITIES, Policy
from redaction.score import Score

#: What is looked for where no policy is named: everything that is known.
EVERYTHING = Policy(name="everything", outbound="mask", stored="none", entities=KNOWN_ENTITIES)


class Command(BaseCommand):
    help = "Find personal data in texts, as a policy would."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        find = verbs.add_parser("spans", help="Print the spans found in each line of a file.")
        find.add_argument("file", help='Lines {"id": …, "text": …}.')
        score = verbs.add_parser(
            "score", help="Compare what is found with known spans, by entity, as a Markdown table."
        )
        score.add_argument("files", nargs="+", help='Lines {"id": …, "text": …, "spans": [{"start", "end", "type"}]}.')
        for verb in (find, score):
            verb.add_argument(
                "--policy", default="", help="Name of a policy; without it, all that is known is looked for."
            )

    def handle(self, *args: Any, verb: str, policy: str, **options: Any) -> None:
        rules = _policy(policy)
        failed = self._score(options["files"], rules) if verb == "score" else self._spans(options["file"], rules)
        if failed:
            sys.exit(1)

    def _spans(self, file: str, rules: Policy) -> bool:
        failed = False
        for place, line in _lines(file):
            try:
                case = json.loads(line)
                found = spans(case["text"], rules)
            except (ValueError, KeyError, TypeError):
                failed = True
                self.stderr.write(f'{place}: not understood. Write {{"id": …, "text": "…"}} on each line.')
                continue
            self.stdout.write(json.dumps({"id": case.get("id"), "spans": [asdict(span) for span in found]}))
        return failed

    def _score(self, files: list[str], rules: Policy) -> bool:
        failed = False
        for file in files:
            score = Score()
            for place, line in _lines(file):
                try:
                    case = json.loads(line)
                    known = [(int(span["start"]), int(span["end"]), str(span["type"])) for span in case["spans"]]
                    found = spans(case["text"], rules)
                except (ValueError, KeyError, TypeError):
                    failed = True
                    self.stderr.write(
                        f'{place}: not understood. Write {{"text": "…", "spans": [{{"start", "end", "type"}}]}}.'
                    )
                    continue
                score.add(known, found)
            self.stdout.write(f"### {Path(file).stem}\n\n{score.table()}\n")
        return failed


def _lines(file: str) -> Iterator[tuple[str, str]]:
    """Where each line stands, and what it says; blank ones left out."""
    try:
        with open(file, encoding="utf-8") as lines:
            yield from ((f"{file}:{number}", line) for number, line in enumerate(lines, 1) if line.strip())
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.") from None


def _policy(name: str) -> Policy:
    if not name:
        return EVERYTHING
    row = RedactionPolicy.objects.filter(name=name).first()
    if row is None:
        known = ", ".join(RedactionPolicy.objects.values_list("name", flat=True)) or "none yet"
        raise CommandError(f"There is no policy {name!r}; there are: {known}.")
    return row.as_policy()

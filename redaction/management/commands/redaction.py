"""`manage.py redaction spans FILE.jsonl`, `manage.py redaction score FILE.jsonl …`: what is found in texts, and how well."""

import json
import math
import sys
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from redaction.engine import spans
from redaction.explain import recognised
from redaction.models import RedactionPolicy
from redaction.places import ALONE
from redaction.policies import DEFAULT, KNOWN_ENTITIES, Policy
from redaction.score import Score, fold

#: What is looked for where no policy is named: everything that is known, well-known places alone too.
EVERYTHING = Policy(
    name="everything", outbound="mask", stored="none", entities=KNOWN_ENTITIES, thresholds=(("LOCATION", ALONE),)
)


class Command(BaseCommand):
    help = "Find personal data in texts, as a policy would."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        find = verbs.add_parser("spans", help="Print the spans found in each line of a file.")
        find.add_argument("file", help='Lines {"id": …, "text": …}.')
        score = verbs.add_parser(
            "score", help="Compare what is found with known spans, by entity, as a Markdown table."
        )
        score.add_argument(
            "files", nargs="+",
            help='Lines {"id": …, "text": …, "spans": [{"start", "end", "type"}]}. With @0 behind the name only those whose '
            "wording is in the first of four folds, which the tagger did not see in training.",
        )  # fmt: skip
        score.add_argument(
            "--clean", nargs="*", default=[],
            help="Files of texts that hold hardly any personal data, lines of any JSON: what is found there, by what found it.",
        )  # fmt: skip
        for verb in (find, score):
            verb.add_argument(
                "--policy", default="", help="Name of a policy; without it, all that is known is looked for."
            )

    def handle(self, *args: Any, verb: str, policy: str, **options: Any) -> None:
        rules = _policy(policy)
        if verb == "score":
            failed = self._score(options["files"], rules)
            for file in options["clean"]:
                self._alarms(file, rules if policy else DEFAULT)
        else:
            failed = self._spans(options["file"], rules)
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
        whole = ["| set | texts | F1 | precision | recall | left standing |", "| --- | --- | --- | --- | --- | --- |"]
        for named in files:
            file, at, number = named.rpartition("@") if named[-2:-1] == "@" else (named, "", "")
            score, texts = Score(), 0
            for place, line in _lines(file):
                try:
                    case = json.loads(line)
                    known = [(int(span["start"]), int(span["end"]), str(span["type"])) for span in case["spans"]]
                    if at and fold(case["text"], known) != int(number):
                        continue
                    found = spans(case["text"], rules)
                except (ValueError, KeyError, TypeError):
                    failed = True
                    self.stderr.write(
                        f'{place}: not understood. Write {{"text": "…", "spans": [{{"start", "end", "type"}}]}}.'
                    )
                    continue
                score.add(known, found)
                texts += 1
            self.stdout.write(f"### {Path(named).name}\n\n{score.table()}\n")
            precision, recall, f1 = score.figures()
            name = Path(named).name
            whole.append(f"| {name} | {texts} | {f1:.2f} | {precision:.2f} | {recall:.2f} | {score.standing:.1%} |")
        self.stdout.write("\n".join(whole) + "\n")
        return failed

    def _alarms(self, file: str, rules: Policy) -> None:
        """What is found in texts that hold hardly any personal data."""
        texts = [text for _, line in _lines(file) for text in _texts(json.loads(line))]
        counts = Counter((span.type, by) for text in texts for span, by in recognised(text, rules, math.inf))
        characters = sum(map(len, texts))
        rows = [
            f"| {entity} | {by} | {count} | {count * 10_000 / characters:.2f} |"
            for (entity, by), count in counts.most_common()
        ]
        self.stdout.write(
            f"### {Path(file).name}: {len(texts):,} texts, {characters:,} characters\n\n"
            "| entity | found by | findings | in 10,000 characters |\n| --- | --- | --- | --- |\n"
            + "\n".join(rows)
            + "\n"
        )


def _texts(value: Any) -> list[str]:
    """The texts of more than one word in a JSON value."""
    if isinstance(value, str):
        return [value] if " " in value else []
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for item in items for text in _texts(item)]


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

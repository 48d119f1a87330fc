"""`manage.py spool`: what waits in the files of SPOOL_DIR."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError

from gateway.conf import settings
from gateway.ledger.replay import files, replay_spools
from gateway.ledger.spool_file import Contents, SpoolFile, UnknownVersion, parse
from gateway.ledger.spooled import latest
from gateway.secrets import CannotDecrypt


class Command(BaseCommand):
    help = "Calls that passed while the ledger's database was away, and wait in files under SPOOL_DIR."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("list", help="One line for each file: its process, its size, how many calls.")
        actions.add_parser("replay", help="Bring the files of processes that ended into the ledger; workers do it too.")
        show = actions.add_parser("show", help="One line for each call of a file; no texts.")
        show.add_argument("file", help="Its name under SPOOL_DIR, or a path.")

    def handle(self, *args: Any, action: str, file: str = "", **options: Any) -> None:
        if not settings().SPOOL_DIR:
            raise CommandError("SPOOL_DIR is unset, so nothing is spooled.")
        directory = Path(settings().SPOOL_DIR)
        if action == "list":
            self._list(directory)
        elif action == "replay":
            self._replay()
        else:
            self._show(directory / file)

    def _list(self, directory: Path) -> None:
        for path in files(directory):
            contents = _contents(path)
            taken = SpoolFile.take(path)
            if taken:
                taken.close()
            whose = "its process has ended" if taken else "its process runs"
            told = "cannot be read" if contents is None else f"{len(contents.records)} records"
            self.stdout.write(f"{path.name}  {path.stat().st_size} bytes  {told}  {whose}")

    def _replay(self) -> None:
        try:
            found = replay_spools()
        except OperationalError as error:
            raise CommandError(f"The replay broke off ({error}); what was done stays done.") from None
        self.stdout.write(f"{found.calls} calls are in the ledger now, {found.lost} of them lost.")
        if found.damaged:
            self.stdout.write(f"{found.damaged} bytes were no whole record; copies are beside the files (.damaged).")
        if found.rejected:
            self.stdout.write(f"{len(found.rejected)} calls cannot be written; they are beside the files (.rejected).")
        if found.left:
            raise CommandError(f"These files cannot be read and stay where they are: {', '.join(found.left)}.")

    def _show(self, path: Path) -> None:
        try:
            contents = parse(path.read_bytes())
            calls = latest(contents.records)
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}.") from None
        except (UnknownVersion, CannotDecrypt) as error:
            raise CommandError(f"{path} cannot be read: {error}.") from None
        for call in calls.values():
            row = call.row
            outcome = row.get("outcome", "ok") if call.settled else "under way"
            target = f"{call.bid.provider}/{call.bid.model}"
            self.stdout.write(f"{call.call_id}  {row['feature']}  {target}  {outcome}  {row.get('cost_usd')} USD")
        if contents.damaged:
            self.stdout.write(f"{contents.damaged} bytes are no whole record.")


def _contents(path: Path) -> Contents | None:
    try:
        return parse(path.read_bytes())
    except (OSError, UnknownVersion):
        return None

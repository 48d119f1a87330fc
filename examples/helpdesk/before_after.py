"""What Tollhouse changes in the helpdesk: `before-after.diff`, which docs/helpdesk.md walks through.

    python before_after.py before DIR     writes the helpdesk as it was without Tollhouse into DIR
    python before_after.py update DIR     writes the differences between DIR and this folder into before-after.diff

The helpdesk as it was is this folder with the diff taken out again. When a change here makes that impossible, write it out
with the last commit's folder, mend it there, and update.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
DIFF = HERE / "before-after.diff"
#: What a team would have in its repository; the rest of this folder is about running it here.
PARTS = ("requirements.txt", "catalog.toml", "manage.py", "pytest.ini", "helpdesk", "tickets", "tests/conftest.py")


def write_before(folder: Path) -> None:
    """Raises CalledProcessError where the diff does not fit what is here."""
    _copy(HERE, folder)
    subprocess.run(["git", "apply", "--reverse", str(DIFF)], cwd=folder, check=True)


def differences(before: Path) -> str:
    """The diff from that folder to this one."""
    with tempfile.TemporaryDirectory() as scratch:
        _copy(before, Path(scratch) / "a")
        _copy(HERE, Path(scratch) / "b")
        command = ["git", "-c", "core.quotepath=off", "diff", "--no-index", "--no-prefix", "--no-color", "a", "b"]
        text = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False).stdout
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("index "))


def _copy(source: Path, target: Path) -> None:
    for part in PARTS:
        path = source / part
        if path.is_dir():
            shutil.copytree(path, target / part, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        elif path.exists():
            (target / part).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target / part)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["before", folder]:
            write_before(Path(folder))
        case ["update", folder]:
            DIFF.write_text(differences(Path(folder)))
        case _:
            sys.exit(__doc__)

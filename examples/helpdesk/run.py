"""Runs the helpdesk in this repository, where its database and Tollhouse are at hand without being installed.

    python run.py up                          sets up and serves (PORT, default 8010)
    python run.py manage.py shell             a command of the project
    python run.py -m pytest                   its tests

Not a part of the helpdesk: a team has Tollhouse in its requirements, and DATABASE_URL and SECRET_KEY in its environment.
"""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
STATE_DIR = Path(os.environ.get("TOLLHOUSE_STATE_DIR", ROOT / ".tollhouse")) / "helpdesk"
sys.path[:0] = [str(HERE), str(ROOT)]


def environment() -> str:
    """Sets what the project expects of its environment; starts the embedded PostgreSQL where DATABASE_URL is unset.

    Returns the database's URL for servers: of the embedded one as the role that owns nothing.
    """
    from deploy.environment import secret_key
    from deploy.postgres import database_url, server_url

    embedded = not os.environ.get("DATABASE_URL")
    STATE_DIR.mkdir(parents=True, exist_ok=True)
    os.environ.update(
        DATABASE_URL=database_url(STATE_DIR),
        PYTHONPATH=os.pathsep.join([str(HERE), str(ROOT)]),
        DJANGO_SETTINGS_MODULE="helpdesk.settings",
    )
    os.environ.setdefault("SECRET_KEY", secret_key(STATE_DIR))
    os.environ.setdefault("STATIC_ROOT", str(STATE_DIR / "static"))
    url = os.environ["DATABASE_URL"]
    return server_url(url) if embedded else url


def main(arguments: list[str]) -> int:
    """Returns the exit status."""
    for_servers = environment()
    if arguments == ["up"]:
        from serve import serve

        return serve(STATE_DIR, for_servers)
    return subprocess.run([sys.executable, *arguments], cwd=HERE, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""`make chaos`: kills, restarts and bad upstreams under load; afterwards the books must balance. See docs/chaos.md.

    python -m tests.load.chaos [--rounds 20] [--seed N]

Needs nothing but this machine: database, upstream and servers are its own, on loopback and in a temporary directory.
Ends with 1, and says which call broke which rule, when one did; the directory with the servers' log is kept then.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path

import django
from django.core.management import call_command

ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "deploy.settings",
    "DJANGO_LOG_LEVEL": "WARNING",
    "TOLLHOUSE_ALLOW_PRIVATE_UPSTREAMS": "true",
}
#: What the log may not hold, whatever happens.
UNEXPECTED = ("Traceback", "unexpected error", "could not be settled", "cannot be written", "never retrieved")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="repeats a run's plans")
    options = parser.parse_args()
    # Whoever stops it stops what it started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(f"{options.rounds} rounds, seed {options.seed}", flush=True)
    directory = Path(tempfile.mkdtemp(prefix="tollhouse-chaos-"))
    broken = run(directory, options.rounds, options.seed)
    if broken:
        print(*broken, f"SEED={options.seed} repeats this run's plans. The log: {directory / 'log'}", sep="\n")
        return 1
    shutil.rmtree(directory, ignore_errors=True)
    return 0


def run(directory: Path, rounds: int, seed: int) -> list[str]:
    """Runs the rounds, up to the first that breaks a rule; returns the broken rules."""
    directories = {"TOLLHOUSE_STATE_DIR": str(directory), "TOLLHOUSE_SPOOL_DIR": str(directory / "spool")}
    os.environ |= {**directories, **ENVIRONMENT}
    with warnings.catch_warnings():
        # Without a session there is no runtime directory; the fall-back that it warns of is what we want.
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
        from tests.load.cluster import Cluster

    with Cluster(directory / "postgres") as cluster, open(directory / "log", "wb") as log:
        os.environ["DATABASE_URL"] = cluster.url
        django.setup()
        call_command("migrate", verbosity=0)
        from tests.load.rounds import Chaos

        began = time.monotonic()
        with Chaos(cluster, seed, log) as chaos:
            for number in range(rounds + 1):
                broken = chaos.round(number) + unexpected(directory / "log")
                if broken:
                    return broken
            broken = chaos.end() + unexpected(directory / "log")
        print(f"{chaos.summary()}, in {time.monotonic() - began:.0f} s", flush=True)
    return broken


def unexpected(log: Path) -> list[str]:
    """Lines of the log that no weather excuses."""
    return [f"log: {line}" for line in log.read_text().splitlines() if any(words in line for words in UNEXPECTED)]


if __name__ == "__main__":
    sys.exit(main())

"""`make bench`: the gate beside the direct upstream and the floor, all in one run, in turn; and the ledger alone.

    python -m tests.load.bench [--rounds 3] [--seconds 5]

Needs `wrk`, and the harness (upstream.py, passthrough.py, chat.lua) in ../shared/bench or where TOLLHOUSE_BENCH says.
Everything runs on loopback. Prints a Markdown table of medians, and ratios to the floor.
"""

import argparse
import asyncio
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from decimal import Decimal
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]
HARNESS = Path(os.environ.get("TOLLHOUSE_BENCH", ROOT.parent / "shared" / "bench"))
os.environ["TOLLHOUSE_STATE_DIR"] = str(ROOT / ".tollhouse" / "bench")
os.environ["TOLLHOUSE_ALLOW_PRIVATE_UPSTREAMS"] = "true"
os.environ["DJANGO_SETTINGS_MODULE"] = "deploy.settings"
UPSTREAM, FLOOR, GATE = 9100, 9203, 9300
#: Name, concurrency, stream, feature of the gate.
CASES = [
    ("plain, 1 at a time", 1, False, "plain"),
    ("plain, 32", 32, False, "plain"),
    ("plain, 64", 64, False, "plain"),
    ("streams, 8", 8, True, "plain"),
    ("redacted, 1 at a time", 1, False, "redacted"),
    ("redacted, 8", 8, False, "redacted"),
]


def granian(app: str, port: int, directory: Path, **environment: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", str(port),
               "--no-ws", "--log-level", "error", app]  # fmt: skip
    return subprocess.Popen(command, cwd=directory, env={**os.environ, **environment}, start_new_session=True)


def wait_for(url: str) -> None:
    for _ in range(300):
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except urllib.error.HTTPError:
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise SystemExit(f"{url} does not answer")


def wrk(port: int, concurrency: int, seconds: int, *, stream: bool, key: str, model: str) -> dict[str, float]:
    """One run of the load generator; raises SystemExit when any answer was not a success."""
    command = [
        "wrk",
        "-t1",
        f"-c{concurrency}",
        f"-d{seconds}s",
        "-s",
        str(HARNESS / "chat.lua"),
        f"http://127.0.0.1:{port}",
    ]
    environment = {**os.environ, "KEY": key, "MODEL": model, "STREAM": "1" if stream else ""}
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    found: dict[str, float] = json.loads(output.strip().splitlines()[-1])
    if found["non2xx"]:
        raise SystemExit(f"{found['non2xx']} of {found['requests']} answers on port {port} were no success")
    return found


def memory_mb(process: subprocess.Popen[bytes]) -> float:
    import psutil

    tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    return sum(p.memory_info().rss for p in tree) / 2**20


def http(rounds: int, seconds: int, key: str, gate: subprocess.Popen[bytes]) -> None:
    print("| case | target | rps | p50 ms | p99 ms | rps to the floor | p50 added ms |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, concurrency, stream, feature in CASES:
        runs: dict[str, list[dict[str, float]]] = {"direct": [], "floor": [], "gate": []}
        for _ in range(rounds):
            for target, port, model in (
                ("direct", UPSTREAM, "mock"),
                ("floor", FLOOR, "mock"),
                ("gate", GATE, feature),
            ):
                runs[target].append(wrk(port, concurrency, seconds, stream=stream, key=key, model=model))
        floor = median(r["rps"] for r in runs["floor"])
        direct_p50 = median(r["p50_ms"] for r in runs["direct"])
        for target, found in runs.items():
            rps, p50, p99 = (median(r[k] for r in found) for k in ("rps", "p50_ms", "p99_ms"))
            print(
                f"| {name} | {target} | {rps:.0f} | {p50:.2f} | {p99:.2f} | {rps / floor:.2f} | {p50 - direct_p50:.2f} |",
                flush=True,
            )
    print(f"\nGate process after all of it: {memory_mb(gate):.0f} MB resident (server and its supervisor).")


async def ledger(concurrency: int, seconds: float) -> float:
    """Calls a second of the ledger alone: hold, settle and row, synchronous commit, one hot budget."""
    from gateway.ledger import Grant
    from tests.gateway.ledger.calls import a_writer, hold_of, settle_of

    done, ends_at = 0, time.perf_counter() + seconds

    async def calls(writer):  # type: ignore[no-untyped-def]
        nonlocal done
        while time.perf_counter() < ends_at:
            hold = hold_of(Decimal("0.001"))
            grant = await writer.hold(hold)
            assert isinstance(grant, Grant)
            await writer.settle(settle_of(hold, grant, "0.0005"))
            done += 1

    async with a_writer() as writer:
        await asyncio.gather(*(calls(writer) for _ in range(concurrency)))
    return done / seconds


def prepare() -> str:
    """A database with the bench's catalog; returns an API key."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from gateway import keys
    from gateway.models import Key

    call_command("migrate", verbosity=0)
    call_command("catalog", "apply", str(Path(__file__).parent / "catalog.toml"), stdout=io.StringIO())
    Key.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE tollhouse_call, tollhouse_payload, tollhouse_hold, tollhouse_window")
    key = keys.create("bench", ["*"])
    connection.close()
    return key


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    options = parser.parse_args()
    if not shutil.which("wrk"):
        raise SystemExit("The benchmark needs wrk: apt-get install wrk.")
    if not (HARNESS / "upstream.py").exists():
        raise SystemExit(f"The harness is not in {HARNESS}; set TOLLHOUSE_BENCH to where it is.")
    key = prepare()
    from deploy.postgres import database_url

    url = database_url(Path(os.environ["TOLLHOUSE_STATE_DIR"]))
    processes = [
        granian("upstream:app", UPSTREAM, HARNESS),
        granian("passthrough:app", FLOOR, HARNESS, UPSTREAM=f"http://127.0.0.1:{UPSTREAM}"),
        granian("deploy.asgi:application", GATE, ROOT, DATABASE_URL=url, DJANGO_LOG_LEVEL="ERROR"),
    ]
    try:
        wait_for(f"http://127.0.0.1:{UPSTREAM}/stats")
        wait_for(f"http://127.0.0.1:{FLOOR}/stats")
        wait_for(f"http://127.0.0.1:{GATE}/readyz")
        for port, model in ((UPSTREAM, "mock"), (FLOOR, "mock"), (GATE, "plain"), (GATE, "redacted")):
            wrk(port, 4, 1, stream=False, key=key, model=model)
        http(options.rounds, options.seconds, key, processes[-1])
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGTERM)
        for process in processes:
            process.wait(20)
    for concurrency in (1, 32, 256):
        rates = [asyncio.run(ledger(concurrency, 2.0)) for _ in range(options.rounds)]
        print(
            f"Ledger alone, {concurrency} concurrent: {median(rates):.0f} calls a second (hold + settle + row).",
            flush=True,
        )


if __name__ == "__main__":
    main()

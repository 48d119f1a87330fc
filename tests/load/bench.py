"""`make bench`: the gate beside the direct upstream and the floor, all in one run, in turn; and what a call costs.

    python -m tests.load.bench [--rounds 3] [--seconds 5] [--only http complete growth memory ledger budgets]

Needs `wrk`, and the harness (upstream.py, passthrough.py, chat.lua) in ../shared/bench or where TOLLHOUSE_BENCH says.
Everything runs on loopback, from port TOLLHOUSE_BENCH_PORT (9100) on. Prints Markdown tables of medians, ratios to the floor, and
CPU time for each call, which says more than throughput does on a machine that others use too.
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
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import psutil

from tests.load.ledger import budgets, cpu_s, ledger, postgres

ROOT = Path(__file__).resolve().parents[2]
HARNESS = Path(os.environ.get("TOLLHOUSE_BENCH", ROOT.parent / "shared" / "bench"))
os.environ["TOLLHOUSE_STATE_DIR"] = str(ROOT / ".tollhouse" / "bench")
os.environ["TOLLHOUSE_ALLOW_PRIVATE_UPSTREAMS"] = "true"
os.environ["DJANGO_SETTINGS_MODULE"] = "deploy.settings"
UPSTREAM = int(os.environ.get("TOLLHOUSE_BENCH_PORT", "9100"))
FLOOR, GATE, TWO = UPSTREAM + 103, UPSTREAM + 200, UPSTREAM + 201
PARTS = ("http", "complete", "growth", "memory", "ledger", "budgets")
#: How many features, keys and budgets of others `growth` adds, and how many rows.
OTHERS, ROWS = 500, 300_000
#: Name, concurrency, stream, feature of the gate.
CASES = [
    ("plain, 1 at a time", 1, False, "plain"),
    ("plain, 32", 32, False, "plain"),
    ("plain, 64", 64, False, "plain"),
    ("streams, 8", 8, True, "plain"),
    ("redacted, 1 at a time", 1, False, "redacted"),
    ("redacted, 8", 8, False, "redacted"),
    ("redacted streams, 8", 8, True, "redacted"),
]


@contextmanager
def granian(
    app: str, port: int, directory: Path, path: str, *, workers: int = 1, **environment: str
) -> Iterator[psutil.Process]:
    """A server that answers at `path`; ended with the block."""
    command = [sys.executable, "-m", "granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", str(port),
               "--no-ws", "--log-level", "error", "--workers", str(workers), app]  # fmt: skip
    process = subprocess.Popen(command, cwd=directory, env={**os.environ, **environment}, start_new_session=True)
    try:
        wait_for(f"http://127.0.0.1:{port}{path}")
        yield psutil.Process(process.pid)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def gate(port: int = GATE, **options: object):  # type: ignore[no-untyped-def]
    """The gate's own server, on the bench's database."""
    from deploy.postgres import database_url, server_url

    url = database_url(Path(os.environ["TOLLHOUSE_STATE_DIR"]))
    url = url if "DATABASE_URL" in os.environ else server_url(url)
    return granian(
        "deploy.asgi:application", port, ROOT, "/readyz", DATABASE_URL=url, DJANGO_LOG_LEVEL="ERROR", **options
    )  # type: ignore[arg-type]


def upstream():  # type: ignore[no-untyped-def]
    return granian("upstream:app", UPSTREAM, HARNESS, "/stats")


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


def memory_mb(server: psutil.Process) -> str:
    """Resident memory of a server's supervisor and of each of its workers."""
    workers = [f"{worker.memory_info().rss / 2**20:.0f}" for worker in server.children()]
    return f"{', '.join(workers)} MB (and its supervisor {server.memory_info().rss / 2**20:.0f} MB)"


def at_rest(server: psutil.Process) -> None:
    """Waits until the server has loaded what it loads in the background: its redaction engine."""
    used = -1.0
    while cpu_s(server) - used > 0.05:
        used = cpu_s(server)
        time.sleep(2)


def http(rounds: int, seconds: int, key: str) -> None:
    with ExitStack() as servers:
        servers.enter_context(upstream())
        floor = granian("passthrough:app", FLOOR, HARNESS, "/stats", UPSTREAM=f"http://127.0.0.1:{UPSTREAM}")
        processes = {"floor": servers.enter_context(floor), "gate": servers.enter_context(gate())}
        processes["gate, 2 processes"] = servers.enter_context(gate(TWO, workers=2))
        ports = {"direct": UPSTREAM, "floor": FLOOR, "gate": GATE, "gate, 2 processes": TWO}
        for target in ("gate", "gate, 2 processes"):
            at_rest(processes[target])
            wrk(ports[target], 4, 1, stream=False, key=key, model="plain")
        print(
            "| case | target | rps | p50 ms | p99 ms | rps to the floor | p50 added ms | CPU of the target a call, µs |"
        )
        print("| --- | --- | --- | --- | --- | --- | --- | --- |")
        for name, concurrency, stream, feature in CASES:
            runs: dict[str, list[dict[str, float]]] = {target: [] for target in ports}
            for _ in range(rounds):
                for target, port in ports.items():
                    model = feature if target.startswith("gate") else "mock"
                    before = cpu_s(processes[target]) if target in processes else 0.0
                    found = wrk(port, concurrency, seconds, stream=stream, key=key, model=model)
                    used = cpu_s(processes[target]) - before if target in processes else 0.0
                    runs[target].append({**found, "cpu_us": used / found["requests"] * 1e6})
            floor_rps = median(r["rps"] for r in runs["floor"])
            direct_p50 = median(r["p50_ms"] for r in runs["direct"])
            for target, found_runs in runs.items():
                rps, p50, p99, cpu = (median(r[k] for r in found_runs) for k in ("rps", "p50_ms", "p99_ms", "cpu_us"))
                print(
                    f"| {name} | {target} | {rps:.0f} | {p50:.2f} | {p99:.2f} | {rps / floor_rps:.2f} | {p50 - direct_p50:.2f} | {cpu:.0f} |",
                    flush=True,
                )
        print(f"\nMemory after all of it: {memory_mb(processes['gate'])}.")


def complete(rounds: int) -> None:
    """What `complete()` adds in process, one call at a time, to the same request made with the same HTTP client."""
    import aiohttp

    import gateway
    from gateway import engine

    messages = [{"role": "user", "content": "Where is my order? " * 100}]

    async def direct(calls: int) -> list[float]:
        times = []
        async with aiohttp.ClientSession() as session:
            for _ in range(calls):
                began = time.perf_counter()
                body = {"model": "mock", "messages": messages}
                async with session.post(f"http://127.0.0.1:{UPSTREAM}/v1/chat/completions", json=body) as response:
                    json.loads(await response.read())
                times.append(time.perf_counter() - began)
        return times

    def through(calls: int) -> list[float]:
        times = []
        for _ in range(calls):
            began = time.perf_counter()
            gateway.complete("plain", messages=messages)
            times.append(time.perf_counter() - began)
        return times

    with upstream():
        through(50)
        pairs = [(median(asyncio.run(direct(200))), median(through(200))) for _ in range(rounds)]
        engine.stop()
    alone, ours = (1000 * median(values) for values in zip(*pairs, strict=True))
    print(
        f"In process, one at a time: p50 {ours:.2f} ms, direct {alone:.2f} ms, so complete() adds {ours - alone:.2f} ms."
    )


def growth(rounds: int, seconds: int, key: str) -> None:
    """What a call costs before and after there are many features, keys and budgets of others, and many rows."""
    print("| what there is | CPU of the gate a call, µs | of PostgreSQL, µs | p50 ms at 32 |")
    print("| --- | --- | --- | --- |")
    for what, grow in (
        ("the bench's own", None),
        (f"and {OTHERS} others of each", add_others),
        (f"and {ROWS:,} rows", add_rows),
    ):
        if grow:
            grow()
        database = postgres()
        with upstream(), gate(TOLLHOUSE_REDACTION_MODEL="") as server:
            at_rest(server)
            wrk(GATE, 4, 1, stream=False, key=key, model="plain")
            runs = []
            for _ in range(rounds):
                before = cpu_s(server), cpu_s(database)
                found = wrk(GATE, 32, seconds, stream=False, key=key, model="plain")
                used = [
                    (now - then) / found["requests"] * 1e6
                    for now, then in zip((cpu_s(server), cpu_s(database)), before, strict=True)
                ]
                runs.append((*used, found["p50_ms"]))
        gate_us, database_us, p50 = (median(values) for values in zip(*runs, strict=True))
        print(f"| {what} | {gate_us:.0f} | {database_us:.0f} | {p50:.1f} |", flush=True)


def add_others() -> None:
    from django.db import connection

    from budgets.models import Budget
    from gateway import keys
    from gateway.models import Feature

    plain = Feature.objects.get(slug="plain")
    for number in range(OTHERS):
        Feature.objects.create(slug=f"other.{number}", route=plain.route, policy=plain.policy)
        Budget.objects.create(feature=f"other.{number}", limit=100)
        keys.create(f"other {number}", [f"other.{number}"])
    connection.close()


def add_rows() -> None:
    """Copies of one row, with ids of now."""
    from django.db import connection

    from gateway.models import Call

    columns = ", ".join(str(field.column) for field in Call._meta.concrete_fields if field.name != "id")
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO tollhouse_call (id, {columns}) SELECT uuidv7(), {columns} "
            f"FROM (SELECT * FROM tollhouse_call LIMIT 1) AS one, generate_series(1, {ROWS})"
        )
        cursor.execute("ANALYZE tollhouse_call")
    connection.close()


def memory() -> None:
    """Resident memory of a server that has loaded all that it will, and has answered nothing else."""
    for what, model in (("with the language model", None), ("without (patterns only)", "")):
        with upstream(), gate(**({} if model is None else {"TOLLHOUSE_REDACTION_MODEL": model})) as server:
            at_rest(server)
            print(f"An idle server {what}: {memory_mb(server)}.", flush=True)


def prepare() -> str:
    """A database with the bench's catalog and nothing else; returns an API key."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from budgets.models import Budget
    from gateway import keys
    from gateway.models import Feature, Key

    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE tollhouse_call, tollhouse_payload, tollhouse_hold, tollhouse_window")
    Budget.objects.filter(feature__startswith="other.").delete()
    Feature.objects.filter(slug__startswith="other.").delete()
    Key.objects.all().delete()
    catalog = Path(os.environ["TOLLHOUSE_STATE_DIR"], "catalog.toml")
    catalog.write_text(Path(__file__).with_name("catalog.toml").read_text().replace("9100", str(UPSTREAM)))
    call_command("catalog", "apply", str(catalog), stdout=io.StringIO())
    key = keys.create("bench", ["*"])
    connection.close()
    return key


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    if not shutil.which("wrk"):
        raise SystemExit("The benchmark needs wrk: apt-get install wrk.")
    if not (HARNESS / "upstream.py").exists():
        raise SystemExit(f"The harness is not in {HARNESS}; set TOLLHOUSE_BENCH to where it is.")
    key = prepare()
    if "http" in options.only:
        http(options.rounds, options.seconds, key)
    if "complete" in options.only:
        complete(options.rounds)
    if "growth" in options.only:
        growth(options.rounds, options.seconds, key)
    if "memory" in options.only:
        memory()
    if {"budgets", "ledger"} & {*options.only}:
        from gateway.http.app import calm_gc

        # As in the server, which this process stands for.
        calm_gc()
    if "budgets" in options.only:
        budgets(options.rounds)
        prepare()
    if "ledger" in options.only:
        ledger(options.rounds)


if __name__ == "__main__":
    main()

"""What calls without redaction wait for others that are analysed: their p99 alone and beside a redacting load, in turn.

    python -m tests.load.beside [--rounds 5] [--seconds 4] [--clients 8] [--concurrency 1]

One server with one worker. `wrk` calls a feature without redaction; the redacting load are clients that send fresh texts of 2 KB in
a closed loop to a feature with the default policy, which looks for names and places too. What such calls cost without any analysis is
measured as well: the same clients send the same texts at the same rate to a feature without redaction. And as load generators,
upstream, database and server share the machine's cores, so is what a busy program beside them costs. Prints a Markdown table of
medians; TOLLHOUSE_REDACTION_APART=false measures the analysis in a thread. Needs what `tests.load.bench` needs.
"""

import argparse
import asyncio
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import psutil

from tests.load import bench

SIZE = 2048
WORDS = [
    "order",
    "parcel",
    "invoice",
    "refund",
    "delivery",
    "Tuesday",
    "account",
    "address",
    "morning",
    "please",
    "broken",
    "return",
    "shop",
    "customer",
    "week",
    "payment",
    "card",
    "phone",
    "question",
    "answer",
    "yesterday",
    "box",
    "garden",
    "street",
    "London",
    "Berlin",
    "Smith",
    "Miller",
    "Anna",
    "Peter",
    "Maria",
    "Johnson",
    "the",
    "a",
    "of",
    "to",
    "in",
    "and",
    "for",
    "with",
    "is",
    "was",
    "not",
    "have",
    "it",
    "my",
]


def text(dice: random.Random) -> str:
    """A text that nobody has seen before, with some personal data."""
    words = [dice.choice(WORDS) for _ in range(SIZE // 6)]
    for _ in range(6):
        words[dice.randrange(len(words))] = f"+44 20 7946 {dice.randrange(10_000):04}"
        words[dice.randrange(len(words))] = f"{dice.choice(WORDS).lower()}{dice.randrange(100_000)}@example.com"
    return " ".join(words)[:SIZE]


async def load(clients: int, key: str, feature: str, rate: float) -> None:
    """Sends fresh texts until it is ended, at most so many a second (0: as fast as they are answered); prints a line for each."""
    import aiohttp

    dice, sent, began = random.Random(), 0, time.monotonic()

    async def client(session: aiohttp.ClientSession) -> None:
        nonlocal sent
        while True:
            sent += 1
            if rate:
                await asyncio.sleep(began + sent / rate - time.monotonic())
            body = {"model": feature, "max_tokens": 64, "messages": [{"role": "user", "content": text(dice)}]}
            async with session.post(f"http://127.0.0.1:{bench.GATE}/v1/chat/completions", json=body) as answer:
                if answer.status != 200:
                    raise SystemExit(f"{answer.status}: {await answer.text()}")
            print("answered", flush=True)

    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {key}"}) as session:
        await asyncio.gather(*(client(session) for _ in range(clients)))


@contextmanager
def beside(*command: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


class Bench:
    """Measurements of a running server, by what was beside them."""

    def __init__(self, options: argparse.Namespace, key: str, server: psutil.Process) -> None:
        self.options, self.key, self.server = options, key, server
        self.runs: dict[str, list[dict[str, float]]] = {}

    def measure(self, what: str) -> dict[str, float]:
        began, used = time.monotonic(), bench.cpu_s(self.server)
        found = bench.wrk(
            bench.GATE, self.options.concurrency, self.options.seconds, stream=False, key=self.key, model="plain"
        )
        found["cpu"] = (bench.cpu_s(self.server) - used) / (time.monotonic() - began)
        self.runs.setdefault(what, []).append(found)
        return found

    def under(self, what: str, feature: str, rate: float = 0) -> float:
        """Measures under a load; returns how many of its calls were answered in a second."""
        clients = ("--clients", str(self.options.clients))
        with beside("-m", "tests.load.beside", *clients, "--load", self.key, feature, str(rate)) as process:
            assert process.stdout
            process.stdout.readline()
            began = time.monotonic()
            found = self.measure(what)
            took = time.monotonic() - began
            process.kill()
            found["beside"] = len(process.stdout.read().splitlines()) / took
        return found["beside"]

    def round(self) -> None:
        self.measure("alone")
        rate = self.under("beside a redacting load", "redacted")
        self.under("beside the same calls without redaction", "plain", rate)
        with beside("-c", "while True: pass"):
            self.measure("beside a busy program")

    def table(self) -> str:
        lines = ["| calls without redaction | calls/s | p50 ms | p99 ms | p99 to alone | calls/s beside them | CPU of the server, cores |",
                 "| --- | --- | --- | --- | --- | --- | --- |"]  # fmt: skip
        alone = median(run["p99_ms"] for run in self.runs["alone"])
        for what, each in self.runs.items():
            rps, p50, p99, cpu = (median(run[name] for run in each) for name in ("rps", "p50_ms", "p99_ms", "cpu"))
            others = median(run.get("beside", 0) for run in each)
            lines.append(
                f"| {what} | {rps:.0f} | {p50:.2f} | {p99:.2f} | {p99 / alone:.2f} | {others:.0f} | {cpu:.2f} |"
            )
        return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--load", nargs=3, metavar=("KEY", "FEATURE", "RATE"), help="be the load")
    options = parser.parse_args()
    if options.load:
        key, feature, rate = options.load
        asyncio.run(load(options.clients, key, feature, float(rate)))
        return
    key = bench.prepare()
    with bench.upstream(), bench.gate() as server:
        bench.at_rest(server)
        bench.wrk(bench.GATE, 4, 1, stream=False, key=key, model="plain")
        bench_of = Bench(options, key, server)
        for _ in range(options.rounds):
            bench_of.round()
        print(bench_of.table())
        children = (f"{child.memory_info().rss / 2**20:.0f}" for child in server.children(recursive=True))
        print(f"\nMemory of the server's processes: {', '.join(children)} MB.")


if __name__ == "__main__":
    main()

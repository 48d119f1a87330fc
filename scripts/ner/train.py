"""Trains the name tagger and writes its weights, for redaction/ner.

    python scripts/ner/train.py generated.jsonl labelled.jsonl … [--gold dev.jsonl …] [--hold 0] > weights.npz

Needs numpy only. `--gold` files are read several times as often; with `--hold N` the texts of fold N (of four) are left out of
them: what is found there (`manage.py redaction score FILE@N`) are the honest figures, as no text of such wording was seen.

The same files and options give the same bytes: one thread, one seed, an archive without times. numpy picks its kernels by the
processor it meets; make.py has it take those that every x86-64 of the last ten years has.
"""

import argparse
import json
import math
import random
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from redaction import score
from redaction.ner.features import LEXICAL, TYPES, WIDTH, rows, tokens
from network import GAP, NOTHING, Network

#: Types of other sets → ours; None: the span is no entity to us.
SAME = {
    "ADDRESS": "STREET_ADDRESS", "ZIP_CODE": "STREET_ADDRESS", "GPE": "LOCATION", "CORPORATION": "ORGANIZATION",
    "GROUP": "ORGANIZATION", "BANK": "ORGANIZATION",
} | {name: name for name in TYPES}  # fmt: skip
UNSURE = "?"
TITLE = re.compile(r"^(?:Mr|Mrs|Ms|Dr|Miss)\.?$")
MOST_WORDS, BATCH = 400, 64
#: Shares of words whose own features are hidden, and of numbers that are dropped, in training.
HIDDEN, DROP = 0.25, 0.25
RATE, RISE = 3e-3, 0.1

Case = tuple[NDArray[np.int32], NDArray[np.int8]]


def fold(case: dict) -> int:
    """Which of the folds a text is in, as `manage.py redaction score FILE@N` has it."""
    return score.fold(case["text"], [(span["start"], span["end"], "") for span in case["spans"]])


def read(case: dict) -> Case | None:
    """Rows and tags of a text; none for an empty one."""
    text, places = case["text"], tokens(case["text"])[:MOST_WORDS]
    if not places:
        return None
    tags = np.zeros(len(places), np.int8)
    for span in sorted(case["spans"], key=lambda span: span["type"] != UNSURE):
        entity = SAME.get(span["type"])
        inside = [i for i, (a, b) in enumerate(places) if a < span["end"] and span["start"] < b]
        if span["type"] == UNSURE:
            tags[inside] = NOTHING
        elif entity is not None and not TITLE.match(text[span["start"] : span["end"]]):
            for place, i in enumerate(inside):
                tags[i] = 1 + 2 * TYPES.index(entity) + (place > 0)
    return np.array(rows(text, places), np.int32), tags


def batches(cases: list[Case], rng: random.Random) -> Iterator[tuple[NDArray, NDArray, NDArray]]:
    """Rows, ones for words, and tags of texts one after another, with gaps between them."""
    order = list(range(len(cases)))
    rng.shuffle(order)
    for first in range(0, len(order), BATCH):
        group = [cases[i] for i in order[first : first + BATCH]]
        size = sum(len(tags) + GAP for _, tags in group)
        x, keep, y = (
            np.zeros((size, WIDTH), np.int64),
            np.zeros((size, 1), np.float32),
            np.full(size, NOTHING, np.int64),
        )
        at = 0
        for features, tags in group:
            n = len(tags)
            x[at : at + n], keep[at : at + n], y[at : at + n] = features, 1, tags
            at += n + GAP
        yield x, keep, y


def rate(done: float) -> float:
    """The rate of learning, by the share of steps that are done: up for a tenth of them, then down to next to nothing."""
    if done < RISE:
        return RATE * (0.04 + 0.96 * (1 - math.cos(math.pi * done / RISE)) / 2)
    return RATE * (1 + math.cos(math.pi * (done - RISE) / (1 - RISE))) / 2


def lines(file: Path, most: int) -> list[dict]:
    with file.open(encoding="utf-8") as given:
        return [json.loads(line) for line, _ in zip(given, range(most), strict=False)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--gold", nargs="*", type=Path, default=[])
    parser.add_argument("--repeat", type=int, default=3, help="How often a pass reads the gold files.")
    parser.add_argument("--hold", type=int, default=-1)
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--most", type=int, default=10**9, help="Texts of each other file.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("files", nargs="*", type=Path)
    options = parser.parse_args()
    given = [case for file in options.files for case in lines(file, options.most)]
    gold = [case for file in options.gold for case in lines(file, 10**9) if fold(case) != options.hold]
    once, more = ([case for one in some if (case := read(one)) is not None] for some in (given, gold))
    cases = once + options.repeat * more
    order, rng = random.Random(options.seed), np.random.default_rng(options.seed)
    network = Network(rng)
    steps, step = options.passes * math.ceil(len(cases) / BATCH), 0
    print(f"{len(cases)} texts, {steps} steps", file=sys.stderr, flush=True)
    for one in range(options.passes):
        began, total = time.time(), 0.0
        for x, keep, y in batches(cases, order):
            hidden = rng.random(len(x)) < HIDDEN
            x[hidden, :LEXICAL] = 0
            loss, found, used = network.gradients(x, keep, y, DROP)
            network.learn(found, used, rate(step / steps))
            total, step = total + loss, step + 1
        print(
            f"pass {one + 1}: loss {total * options.passes / steps:.4f}, {time.time() - began:.0f} s",
            file=sys.stderr,
            flush=True,
        )
    sys.stdout.buffer.write(network.packed())


if __name__ == "__main__":
    main()

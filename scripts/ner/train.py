"""Trains the name tagger and writes its weights, for redaction/ner.

    python scripts/ner/train.py --out redaction/ner/weights.npz generated.jsonl labelled.jsonl … [--gold dev.jsonl …] [--hold 0]

Needs torch. `--gold` files are read several times as often; with `--hold N` the templates of fold N (of four) are left out of
them: what it finds there (`manage.py redaction score --fold N`) are the honest figures, as no text of such a template was seen.

It is meant to give the same weights for the same files, seed and versions of torch and numpy: one thread, deterministic algorithms,
and an archive without times. It prints the digests of the files that it reads, which belong beside the weights.
"""

import argparse
import hashlib
import json
import random
import re
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from redaction import score
from redaction.ner.features import LEXICAL, ROWS, TAGS, TYPES, WIDTH, rows, tokens

SIZE, SPREADS = 96, (1, 1, 2, 3)
#: Types of other sets → ours; None: the span is no entity to us.
SAME = {
    "ADDRESS": "STREET_ADDRESS", "ZIP_CODE": "STREET_ADDRESS", "GPE": "LOCATION", "CORPORATION": "ORGANIZATION",
    "GROUP": "ORGANIZATION", "BANK": "ORGANIZATION",
} | {name: name for name in TYPES}  # fmt: skip
TITLE = re.compile(r"^(?:Mr|Mrs|Ms|Dr|Miss)\.?$")
OUTSIDE = -100


class Tagger(nn.Module):
    """Sums of embeddings, then convolutions over neighbours; see redaction/ner/tagger.py for the same in numpy."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(ROWS, SIZE)
        nn.init.normal_(self.table.weight, std=0.1)
        self.first = nn.LayerNorm(SIZE)
        self.layers = nn.ModuleList(nn.Conv1d(SIZE, SIZE, 3, padding=spread, dilation=spread) for spread in SPREADS)
        self.norms = nn.ModuleList(nn.LayerNorm(SIZE) for _ in SPREADS)
        self.out = nn.Linear(SIZE, len(TAGS))
        self.drop = nn.Dropout(0.15)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        keep = mask.unsqueeze(-1).float()
        h = self.drop(self.first(self.table(x).sum(2)) * keep)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            h = norm(h + self.drop(functional.relu(layer(h.transpose(1, 2)).transpose(1, 2)))) * keep
        return self.out(h)


def fold(case: dict) -> int:
    """Which of the folds a text is in, as `manage.py redaction score --fold` has it."""
    return score.fold(case["text"], [(span["start"], span["end"], "") for span in case["spans"]])


def read(case: dict) -> tuple[np.ndarray, np.ndarray] | None:
    """Rows and tags of a text; none for an empty one."""
    text, places = case["text"], tokens(case["text"])[:400]
    if not places:
        return None
    tags = np.zeros(len(places), np.int64)
    for span in case["spans"]:
        entity = SAME.get(span["type"])
        if entity is None or TITLE.match(text[span["start"] : span["end"]]):
            continue
        inside = [i for i, (a, b) in enumerate(places) if a < span["end"] and span["start"] < b]
        for place, i in enumerate(inside):
            tags[i] = 1 + 2 * TYPES.index(entity) + (place > 0)
    return np.array(rows(text, places), np.int64), tags


def batches(cases: list, size: int, rng: random.Random):
    order = sorted(range(len(cases)), key=lambda i: len(cases[i][1]) + rng.random() * 6)
    groups = [order[i : i + size] for i in range(0, len(order), size)]
    rng.shuffle(groups)
    for group in groups:
        longest = max(len(cases[i][1]) for i in group)
        x, y = np.zeros((len(group), longest, WIDTH), np.int64), np.full((len(group), longest), OUTSIDE)
        for row, i in enumerate(group):
            n = len(cases[i][1])
            x[row, :n], y[row, :n] = cases[i]
        yield torch.from_numpy(x), torch.from_numpy(y)


def save(model: Tagger, path: str) -> None:
    """Writes the weights: the table as bytes with one scale for each row, the rest as half-precision numbers."""
    state = {name: value.detach().numpy() for name, value in model.state_dict().items()}
    table = state.pop("table.weight")
    scale = np.abs(table).max(1, keepdims=True) / 127 + 1e-12
    out = {name: value.astype(np.float16) for name, value in state.items()}
    np.savez_compressed(path, table=np.round(table / scale).astype(np.int8), scale=scale.astype(np.float32), **out)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    parser.add_argument("--gold", nargs="*", default=[])
    parser.add_argument("--repeat", type=int, default=4, help="How often a pass reads the gold files.")
    parser.add_argument("--hold", type=int, default=-1)
    parser.add_argument("--passes", type=int, default=4)
    parser.add_argument("--most", type=int, default=10**9, help="Texts of each other file.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("files", nargs="*")
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    for file in [*options.files, *options.gold]:
        print(hashlib.sha256(Path(file).read_bytes()).hexdigest(), Path(file).name, file=sys.stderr)
    rng = random.Random(options.seed)
    cases = []
    for file in options.files:
        with open(file, encoding="utf-8") as lines:
            cases += [read(json.loads(line)) for line, _ in zip(lines, range(options.most), strict=False)]
    for file in options.gold:
        with open(file, encoding="utf-8") as lines:
            gold = [json.loads(line) for line in lines]
        cases += options.repeat * [read(case) for case in gold if fold(case) != options.hold]
    cases = [case for case in cases if case is not None]
    model = Tagger()
    steps = options.passes * (len(cases) // 64 + 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps, pct_start=0.1)
    for one in range(options.passes):
        began, total, n = time.time(), 0.0, 0
        model.train()
        for x, y in batches(cases, 64, rng):
            hidden = torch.rand(x.shape[:2]) < 0.15
            x[..., :LEXICAL][hidden] = 0
            tags = model(x, y != OUTSIDE)
            loss = functional.cross_entropy(tags.reshape(-1, len(TAGS)), y.reshape(-1), ignore_index=OUTSIDE)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total, n = total + loss.item(), n + 1
        print(f"pass {one + 1}: loss {total / n:.4f}, {time.time() - began:.0f} s", flush=True)
        save(model, options.out)


if __name__ == "__main__":
    main()

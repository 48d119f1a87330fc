"""The name tagger's network with its gradients, in numpy; redaction/ner/tagger.py has the same for use.

Texts of a batch stand one after another, with GAP empty words between them, which stay zero in all layers.
"""

from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from redaction.ner.features import ROWS, TAGS
from redaction.ner.tagger import SPREADS

SIZE, GAP = 96, max(SPREADS)
#: The tag of words that teach nothing: those between texts, and those that the teachers disagree on.
NOTHING = -1
#: AdamW's figures.
DECAY, FIRST, SECOND, TINY = 0.01, 0.9, 0.999, 1e-8
MOST_NORM = 1.0

Numbers = NDArray[np.float32]


class Network:
    """Sums of embeddings, convolutions over neighbours, and a linear layer to tags."""

    def __init__(self, rng: np.random.Generator, *, rows: int = ROWS, size: int = SIZE) -> None:
        self._rng = rng
        self.values = {"table": _normal(rng, 0.1, rows, size), "first": _norm(size)}
        for i in range(len(SPREADS)):
            self.values[f"layer{i}"] = _normal(rng, (3 * size) ** -0.5, 3 * size, size)
            self.values[f"bias{i}"] = np.zeros(size, np.float32)
            self.values[f"norm{i}"] = _norm(size)
        self.values["out"] = _normal(rng, size**-0.5, size, len(TAGS))
        self.values["out_bias"] = np.zeros(len(TAGS), np.float32)
        self._means = {name: np.zeros_like(value) for name, value in self.values.items()}
        self._squares = {name: np.zeros_like(value) for name, value in self.values.items()}
        self._steps = 0

    def odds(self, features: NDArray[np.int64], keep: Numbers) -> Numbers:
        """For each word the odds of its tags, as logarithms. `keep`: 1 for words, 0 for the gaps, one column."""
        return self._forward(features, keep, 0.0)[0]

    def gradients(
        self, features: NDArray[np.int64], keep: Numbers, tags: NDArray[np.int64], drop: float = 0.0
    ) -> tuple[float, dict[str, Numbers], NDArray[np.int64]]:
        """The mean loss of the words that have a tag; what it changes by with each value; and the table's rows that were used.

        The table's gradient holds those rows only. `drop`: the share of numbers that are set to zero, by chance.
        """
        v = self.values
        odds, h, kept = self._forward(features, keep, drop)
        taught = tags != NOTHING
        chances = np.exp(odds - odds.max(1, keepdims=True))
        chances /= chances.sum(1, keepdims=True)
        at = np.flatnonzero(taught)
        loss = float(-np.log(chances[at, tags[at]] + 1e-12).mean())
        change = chances
        change[at, tags[at]] -= 1
        change *= taught[:, None] / np.float32(len(at))
        found: dict[str, Numbers] = {"out": h.T @ change, "out_bias": change.sum(0)}
        change = change @ v["out"].T
        for i in reversed(range(len(SPREADS))):
            around, some, norm = kept[i]
            change, found[f"norm{i}"] = _norm_back(change * keep, v[f"norm{i}"], norm)
            inside = change * some
            found[f"layer{i}"], found[f"bias{i}"] = around.T @ inside, inside.sum(0)
            change = change + _together(inside @ v[f"layer{i}"].T, SPREADS[i])
        some, norm = kept[-1]
        change, found["first"] = _norm_back(change * some * keep, v["first"], norm)
        rows, found["table"] = _by_row(features, change)
        return loss, found, rows

    def learn(self, found: dict[str, Numbers], rows: NDArray[np.int64], rate: float) -> None:
        """One step of AdamW; of the table, the rows that were used."""
        self._steps += 1
        length = float(np.sqrt(sum(float((one * one).sum()) for one in found.values())))
        scale = np.float32(min(1.0, MOST_NORM / (length + 1e-6)))
        rate_now = np.float32(rate * (1 - SECOND**self._steps) ** 0.5 / (1 - FIRST**self._steps))
        shrunk = np.float32(1 - rate * DECAY)
        for name, one in found.items():
            at = rows if name == "table" else slice(None)
            one = one * scale
            mean = self._means[name][at] * np.float32(FIRST) + one * np.float32(1 - FIRST)
            square = self._squares[name][at] * np.float32(SECOND) + one * one * np.float32(1 - SECOND)
            self._means[name][at], self._squares[name][at] = mean, square
            self.values[name][at] = self.values[name][at] * shrunk - rate_now * mean / (
                np.sqrt(square) + np.float32(TINY)
            )

    def packed(self) -> bytes:
        """The weights as a file of redaction/ner: the table as bytes with one scale for each row, the rest as half-precision numbers."""
        v = self.values
        scale = np.abs(v["table"]).max(1, keepdims=True) / 127 + np.float32(1e-12)
        out = {
            "out.weight": v["out"].T,
            "out.bias": v["out_bias"],
            "first.weight": v["first"][0],
            "first.bias": v["first"][1],
        }
        for i in range(len(SPREADS)):
            by_neighbour = v[f"layer{i}"].reshape(3, -1, v["out"].shape[0])
            out[f"layers.{i}.weight"], out[f"layers.{i}.bias"] = by_neighbour.transpose(2, 1, 0), v[f"bias{i}"]
            out[f"norms.{i}.weight"], out[f"norms.{i}.bias"] = v[f"norm{i}"]
        file = BytesIO()
        # Not compressed: it saves a twentieth, and another zlib would write other bytes.
        np.savez(
            file,
            table=np.round(v["table"] / scale).astype(np.int8),
            scale=scale.astype(np.float32),
            **{name: np.ascontiguousarray(value, np.float16) for name, value in out.items()},
        )
        return file.getvalue()

    def _forward(self, features, keep, drop):
        """The odds, what they were made of, and what the gradients need of each layer."""
        v, kept = self.values, []
        h, first = _normed(sum(v["table"][column] for column in features.T), v["first"])
        some = self._some(h.shape, drop)
        h = h * some * keep
        for i, spread in enumerate(SPREADS):
            around = _around(h, spread)
            inside = around @ v[f"layer{i}"] + v[f"bias{i}"]
            on = (inside > 0) * self._some(h.shape, drop)
            h, norm = _normed(h + inside * on, v[f"norm{i}"])
            h = h * keep
            kept.append((around, on, norm))
        return h @ v["out"] + v["out_bias"], h, [*kept, (some, first)]

    def _some(self, shape: tuple[int, ...], drop: float) -> Numbers | np.float32:
        if not drop:
            return np.float32(1)
        return (self._rng.random(shape, np.float32) >= drop) * np.float32(1 / (1 - drop))


def _normal(rng: np.random.Generator, spread: float, *shape: int) -> Numbers:
    return rng.standard_normal(shape, np.float32) * np.float32(spread)


def _norm(size: int) -> Numbers:
    return np.stack([np.ones(size, np.float32), np.zeros(size, np.float32)])


def _normed(h: Numbers, weights: Numbers) -> tuple[Numbers, tuple[Numbers, Numbers]]:
    h = h - h.mean(1, keepdims=True)
    narrow = 1 / np.sqrt((h * h).mean(1, keepdims=True) + np.float32(1e-5))
    h = h * narrow
    return h * weights[0] + weights[1], (h, narrow)


def _norm_back(change: Numbers, weights: Numbers, kept: tuple[Numbers, Numbers]) -> tuple[Numbers, Numbers]:
    h, narrow = kept
    found = np.stack([(change * h).sum(0), change.sum(0)])
    change = change * weights[0]
    change = change - change.mean(1, keepdims=True) - h * (change * h).mean(1, keepdims=True)
    return change * narrow, found


def _around(h: Numbers, spread: int) -> Numbers:
    """Each word's row between those of its neighbours, `spread` words away."""
    words, size = h.shape
    wide = np.zeros((words + 2 * spread, size), np.float32)
    wide[spread : spread + words] = h
    return np.concatenate([wide[k * spread : k * spread + words] for k in range(3)], axis=1)


def _together(change: Numbers, spread: int) -> Numbers:
    """The way back from `_around`."""
    words, size = change.shape[0], change.shape[1] // 3
    wide = np.zeros((words + 2 * spread, size), np.float32)
    for k in range(3):
        wide[k * spread : k * spread + words] += change[:, k * size : (k + 1) * size]
    return wide[spread : spread + words]


def _by_row(features: NDArray[np.int64], change: Numbers) -> tuple[NDArray[np.int64], Numbers]:
    """The rows of the table that words used, and for each the sum of its words' changes."""
    rows, places = np.unique(features, return_inverse=True)
    width = features.shape[1]
    # Much faster than np.add.at and np.add.reduceat, column by column as it is.
    sums = [np.bincount(places.ravel(), np.repeat(column, width)) for column in change.T]
    return rows, np.stack(sums, axis=1).astype(change.dtype)

"""The tagger's training: right gradients, the same bytes each time, and a manifest that fits what is packaged."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from redaction.ner import tagger
from redaction.ner.features import WIDTH

ROOT = Path(__file__).parents[2]
NER = ROOT / "redaction" / "ner"


@pytest.fixture
def network(monkeypatch):
    """The module of the network; training is no part of the package."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts" / "ner"))
    import network

    return network


def batch(rows):
    """Two texts with a gap between them, and a word that teaches nothing."""
    dice = np.random.default_rng(2)
    features, keep, tags = dice.integers(0, rows, (30, WIDTH)), np.ones((30, 1)), dice.integers(0, 11, 30)
    keep[10:13] = 0
    tags[[5, 10, 11, 12]] = -1
    return features, keep, tags


def test_gradients_are_what_the_loss_changes_by(network):
    net = network.Network(np.random.default_rng(1), rows=50, size=8)
    net.values = {name: value.astype(np.float64) for name, value in net.values.items()}
    features, keep, tags = batch(50)
    _, found, rows = net.gradients(features, keep, tags)
    found["table"] = dict(zip(rows.tolist(), found["table"], strict=True))
    for name, value in net.values.items():
        at = (int(rows[3]), 2) if name == "table" else tuple(size // 2 for size in value.shape)
        before, losses = value[at], []
        for step in (1e-4, -1e-4):
            value[at] = before + step
            losses.append(net.gradients(features, keep, tags)[0])
        value[at] = before
        gradient = found[name][at[0]][at[1]] if name == "table" else found[name][at]
        assert gradient == pytest.approx((losses[0] - losses[1]) / 2e-4, abs=3e-4), name


def test_training_gives_the_same_bytes_and_the_tagger_reads_them_as_they_were(network, tmp_path):
    def trained():
        net = network.Network(np.random.default_rng(1), rows=200)
        features, keep, tags = batch(200)
        losses = []
        for _ in range(5):
            loss, found, rows = net.gradients(features, keep.astype(np.float32), tags, drop=0.1)
            net.learn(found, rows, 1e-2)
            losses.append(loss)
        assert losses[-1] < losses[0]
        return net

    one, other = trained(), trained()
    assert one.packed() == other.packed()
    (tmp_path / "weights.npz").write_bytes(one.packed())
    words = batch(200)[0][:10]
    odds = one.odds(words, np.ones((10, 1), np.float32))
    odds[:, 1:] += tagger.TOWARDS_ENTITIES
    chances = np.exp(odds) / np.exp(odds).sum(1, keepdims=True)
    assert tagger.Tagger(tmp_path / "weights.npz")._chances(words) == pytest.approx(chances, abs=0.02)


def test_the_manifest_is_that_of_what_is_packaged():
    made = json.loads((NER / "weights.json").read_text(encoding="utf-8"))["made"]
    assert made == {name: hashlib.sha256((NER / name).read_bytes()).hexdigest() for name in made}
    assert set(made) == {"places.txt", "given.txt", "weights.npz"}

"""The name tagger: which words of a text belong to a name, a place, an organisation, a group or an address.

Embeddings of a word's features are added up, four convolutions look at up to seven words to both sides, and a linear
layer gives each word its tag. Weights and training: scripts/ner.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redaction.ner.features import TYPES, rows, tokens
from redaction.places import names as well_known
from redaction.spans import Span, trimmed

WEIGHTS = Path(__file__).with_name("weights.npz")
#: Given names, in small letters.
GIVEN = frozenset(Path(__file__).with_name("given.txt").read_text(encoding="utf-8").splitlines())
SPREADS = (1, 1, 2, 3)
#: What an entity's tags are worth more than none, in log odds: to leave a name standing is worse than to hide a word.
TOWARDS_ENTITIES = 0.25

#: Words that are nobody's name: English articles, pronouns, prepositions, conjunctions, auxiliaries and answers; titles; what
#: forms, logs and specifications are full of; what other languages use so. None that is a name too ("will", "may", "mina").
WORDS = """
    a an the this that these those i you he she it we they me him her us them my your his its our their
    of in on at by to from with without for about into over under after before between and or but if because so than as
    not no nope yes yeah yep ok okay is are was were be been being am do does did have has had can could would should
    shall must what who whom whose which when where why how there here then also too very just please thanks thank hello
    hi hey pls
    mr mrs ms mx sir madam
    id pin ssn dob mrn dni nif iban bic pii phi pdf csv json xml html sql api url uri http https ip vpn dns ssh tls cpu
    gpu usd eur gbp inr
    ich er wir ihr mein meine meinen unser unsere und oder aber nicht der die dem ein eine einen einem auf aus bei mit
    nach von zu zum zur ist sind bitte danke hallo sehr geehrte geehrter liebe frau herr viele freundliche freundlichen
    grüße grüßen adresse
    je il nous vous ils elles mon mes notre votre la les l un une et ou mais de aux dans avec pour sur est bonjour merci
    madame monsieur cordialement adresse
    yo mis sus nuestro el los las y o pero con por para es hola gracias saludo saludos estimado estimada
    io mio il gli uno e da dal della nel sono ciao buongiorno grazie cordiali distinti saluti codice
    ik jij wij mijn uw onze het een en maar niet op aan bij voor met beste groet groeten adres naam
    ja mój moja się i w z do jest dzień dobry cześć proszę pozdrawiam adres
    jag mitt och eller men inte på är att det hej tack vänliga hälsningar med adress namn
"""
GRAMMAR = frozenset(WORDS.split())
#: Words before a name that are no part of it.
GREETINGS = frozenset([
    "hi", "hello", "hey", "dear", "hallo", "liebe", "geehrte", "geehrter", "bonjour", "hola", "estimado", "estimada", "ciao",
    "beste", "cześć", "hej",
])  # fmt: skip

Numbers = NDArray[np.float32]


class Tagger:
    """Finds entities by the weights in a file."""

    def __init__(self, path: Path = WEIGHTS) -> None:
        with np.load(path, allow_pickle=False) as file:
            self._table = file["table"]
            self._scale: Numbers = file["scale"]
            given: dict[str, Numbers] = {name: file[name].astype(np.float32) for name in file.files if "." in name}
        self._first = (given["first.weight"], given["first.bias"])
        # Convolutions as one matrix product over the three neighbours side by side.
        self._layers = [
            (np.concatenate([given[f"layers.{i}.weight"][:, :, k].T for k in range(3)]), given[f"layers.{i}.bias"])
            for i in range(len(SPREADS))
        ]
        self._norms = [(given[f"norms.{i}.weight"], given[f"norms.{i}.bias"]) for i in range(len(SPREADS))]
        self._out = (given["out.weight"].T.copy(), given["out.bias"])

    def find(self, text: str) -> list[Span]:
        """The entities in the text, in order. Takes the CPU."""
        places = tokens(text)
        if not places:
            return []
        chances = self._chances(np.array(rows(text, places)))
        best, sure = chances.argmax(1).tolist(), chances.max(1)
        found: list[Span] = []
        for first, last in _runs(best):
            while first < last - 1 and text[slice(*places[first])].lower() in GREETINGS:
                first += 1
            span = Span(
                start=places[first][0],
                end=places[last - 1][1],
                type=TYPES[(best[first] - 1) // 2],
                score=round(float(sure[first:last].mean()), 2),
            )
            if (kept := trimmed(text, span)) and kept.score >= _least(value := text[kept.start : kept.end]):
                found.append(replace(kept, type="PERSON") if _is_given(value.lower(), kept.type) else kept)
        return found

    def _chances(self, features: NDArray[Any]) -> Numbers:
        """For each word the chances of its tags."""
        h: Numbers = (self._table[features] * self._scale[features]).sum(1, dtype=np.float32)
        h = _norm(h, *self._first)
        words = len(h)
        for spread, (weight, bias), norm in zip(SPREADS, self._layers, self._norms, strict=True):
            wide = np.zeros((words + 2 * spread, h.shape[1]), np.float32)
            wide[spread : spread + words] = h
            around = np.concatenate([wide[k * spread : k * spread + words] for k in range(3)], axis=1)
            h = _norm(h + np.maximum(around @ weight + bias, 0), *norm)
        odds: Numbers = h @ self._out[0] + self._out[1]
        odds[:, 1:] += TOWARDS_ENTITIES
        odds = np.exp(odds - odds.max(1, keepdims=True))
        chances: Numbers = odds / odds.sum(1, keepdims=True)
        return chances


def _runs(tags: list[int]) -> Iterator[tuple[int, int]]:
    """Where entities begin and end: at a tag of any type, and on as long as the inside of that type follows."""
    first = None
    for at, tag in enumerate([*tags, 0]):
        if first is not None and tag and tag % 2 == 0 and (tag - 1) // 2 == (tags[first] - 1) // 2:
            continue
        if first is not None:
            yield first, at
        first = at if tag else None


def _is_given(value: str, type: str) -> bool:
    """Whether the network took a name that stands alone for a company's or a town's, as it does with many."""
    return (
        type in ("LOCATION", "ORGANIZATION")
        and GIVEN.issuperset(value.split("-"))
        and (type == "ORGANIZATION" or value not in well_known())
    )


def _least(value: str) -> float:
    """How sure a finding has to be: a single word more than several, one in small letters or of digits more still.

    Words of grammar alone are nobody's name, however sure.
    """
    if all(word in GRAMMAR for word in value.lower().split()):
        return math.inf
    if " " in value or "\n" in value:
        return 0.3
    return 0.5 if any(char.isupper() for char in value) else 0.7


def _norm(h: Numbers, weight: Numbers, bias: Numbers) -> Numbers:
    h = h - h.mean(1, keepdims=True)
    spread: Numbers = np.sqrt((h * h).mean(1, keepdims=True) + 1e-5)
    return h / spread * weight + bias

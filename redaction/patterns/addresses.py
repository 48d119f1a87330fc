"""Postal addresses: streets with numbers, units, boxes and codes, as they are written in the US, the UK and Europe."""

import re

from redaction.patterns.rule import HOUSE_NUMBER, Rule, rule

#: USPS Publication 28, appendix C1 (the suffixes that people use), and British ones.
_SUFFIX = (
    r"(?:Street|St|Avenue|Ave?|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Square|Sq|Place|Pl|Terrace|Ter|Way|Parkway|Pkwy|"
    r"Circle|Cir|Crescent|Cres|Highway|Hwy|Close|Gardens?|Gdns|Row|Alley|Trail|Trl|Plaza|Quay|Mews|Loop|Run|Pass|Path|Pike|Turnpike|"
    r"Expressway|Freeway|Ridge|Rise|Grove|Hill|Green|Park|Walk|Wharf|Yard|Broadway|Causeway|Bypass|Crossing|Junction|Heights|"
    r"Meadows?|Mount|Point|View|Vale|Villas|Cove|Bend|Creek|Estates?|Extensions?|Forks?|Glens?|Harbors?|Haven|Hollow|Islands?|Isle|"
    r"Keys?|Knolls?|Lakes?|Landing|Lodge|Manors?|Mills?|Mission|Motorway|Oval|Parade|Plains?|Prairie|Ramp|Ranch|Rapids?|Shoals?|"
    r"Shores?|Springs?|Spurs?|Squares|Streets|Stravenue|Stream|Summit|Throughway|Trace|Track|Tunnel|Union|Viaduct|Village|Ville|Vista|"
    r"Walks|Wall|Wells?)"
)
#: Suffixes that make a street also where nothing is capitalised.
_PLAIN = r"(?:street|avenue|ave|road|rd|boulevard|blvd|lane|drive|terrace|parkway|crescent|highway)"
#: Words before a street's name: Romance, Slavic and Nordic; then what ends a Germanic, Nordic, Dutch or Finnish one.
_BEFORE = (
    r"[Rr]ue|[Aa]venue|[Aa]v\.|[Bb]oulevard|[Bb]d|[Pp]lace|[Cc]hemin|[Aa]llée|[Ii]mpasse|[Qq]uai|[Cc]ours|[Rr]oute|[Ss]quare|[Pp]assage|[Ff]aubourg|"
    r"[Vv]ia|[Vv]iale|V\.le|[Pp]iazza|[Pp]iazzale|[Cc]orso|[Ll]argo|[Vv]icolo|[Ss]trada|[Cc]ontrada|[Ll]ungomare|[Bb]orgo|"
    r"[Cc]alle|C/|[Aa]venida|[Aa]vda\.?|[Pp]laza|[Pp]aseo|[Cc]amino|[Cc]arretera|[Rr]onda|[Tt]ravesía|[Cc]arrer|[Pp]asaje|"
    r"[Rr]ua|R\.|[Tt]ravessa|[Aa]lameda|[Ll]argo|[Pp]raça|[Ee]strada|"
    r"[Uu]l\.|[Uu]lica|[Aa]l\.|[Aa]leja|[Pp]l\.|[Nn]a|[Pp]od|[Ss]tr\.|[Ss]trada|[Ss]traat|[Uu]litsa|[Tt]rg|"
    r"[Aa]m|[Ii]m|[Zz]um|[Zz]ur|Alte|Neue|Große|Kleine|Obere|Untere"
)
#: Those of two words, whose first one alone stands in every other sentence.
_BEFORE_TOO = r"[Aa]n der|[Aa]uf der|[Ii]n der|[Uu]nter den"
_END = (
    r"(?:straße|strasse|str\.|gasse|gässli|weg|allee|platz|ring|damm|ufer|steig|chaussee|promenade|hof|markt|graben|"
    r"straat|laan|weg|plein|gracht|kade|dijk|singel|steeg|pad|hof|dreef|gatan|gata|vägen|väg|gränd|torget|torg|backen|stigen|"
    r"vej|gade|allé|stræde|vænget|parken|toften|veien|vegen|gaten|gata|bakken|svingen|tunet|haugen|"
    r"katu|tie|kuja|polku|kaari|raitti|penger|tori|ranta|utca|tér|körút|köz|sor|ulice|náměstí|třída|nábřeží|cesta|ulica)"
)
#: Words that stand apart behind a street's name: Hungarian, Scandinavian, Greek, Slavic.
_APART = r"(?:utca|út|u\.|tér|körút|krt\.|köz|sétány|rakpart|vej|gade|gata|gate|vei|väg|Allé|Alle|Platz|Straße|Strasse|Weg|Ring|Gasse|Damm|Str\.|straat|laan|ulice|nám\.|cesta|trg|brygge|plass)"
_WORD = r"[^\W\d_][\w'.-]{0,30}"
_NAME = r"[^\W\d_a-zà-ÿ][\w'.-]{0,30}"
_UNIT = r"(?:(?i:apartment|apt|suite|ste|unit|flat|floor|room|rm|building|bldg|app\.|appt|wohnung|top|lot|trlr)\b\.?\s?(?:#\s?)?[A-Za-z]?\d{0,5}[A-Za-z]?\b|#\s?\d{1,5})"
_STATE = (
    r"(?:AL|AK|AZ|AR|CA|CO|CT|DE|DC|FL|GA|HI|ID|IL|IN|IA|KS|KY|LA|ME|MD|MA|MI|MN|MS|MO|MT|NE|NV|NH|NJ|NM|NY|NC|ND|OH|OK|OR|PA|PR|RI|"
    r"SC|SD|TN|TX|UT|VT|VA|WA|WV|WI|WY|AS|GU|MP|VI|AA|AE|AP)"
)
_ZIP = r"\d{5}(?:-\d{4})?"
#: Royal Mail, Programmer's Guide to the Postcode Address File.
_POSTCODE = (
    r"(?:GIR 0AA|[A-PR-UWYZ](?:\d{1,2}|[A-HK-Y]\d{1,2}|\d[A-HJKPSTUW]|[A-HK-Y]\d[ABEHMNPRVWXY]) ?\d[ABD-HJLNP-UW-Z]{2})"
)
#: Canada Post, Addressing Guidelines.
_CANADIAN = r"[ABCEGHJ-NPRSTVXY]\d[ABCEGHJ-NPRSTV-Z][ -]?\d[ABCEGHJ-NPRSTV-Z]\d"
#: Codes before a town: four to six digits, those of Poland and Portugal with a hyphen, those of Sweden, Greece and Czechia with a blank.
_CODE = r"(?:\d{4,6}|\d{2}-\d{3}|\d{4}-\d{3}|\d{3} \d{2})"
#: What follows a street: unit, then a place with its code before or behind it.
_TOWN = rf"{_NAME}(?:[ -]{_NAME}){{0,3}}"
_TAIL = (
    rf"(?:,?\s{{1,5}}{_UNIT})?(?:,?\s{{1,5}}(?:(?:{_TOWN},?\s{{1,5}})?(?:{_STATE},?\s{{1,3}}{_ZIP}|{_POSTCODE}|{_CANADIAN})|"
    rf"(?:[A-Z]{{1,2}}-)?{_CODE}(?: ?[A-Z]{{2}}\b,?)?,?\s{_TOWN}(?: \([A-Z]{{2}}\))?|{_TOWN}(?:, ?|-)\d{{5,6}}\b))?"
)


def _plain(words: str, before: str = "") -> str:
    """The words of a group, in small letters, as rules name what a number stands behind."""
    return "|".join(before + word.replace("\\", "").lower() for word in words[3:-1].split("|"))


#: Words that have to begin where the forms with them are tried.
_BEFORES = (
    "rue |avenue |av |boulevard |bd |place |chemin |allée |impasse |quai |cours |route |square |passage |faubourg |via |viale |v |piazza |"
    "piazzale |corso |largo |vicolo |strada |contrada |lungomare |borgo |calle |c |avenida |avda |plaza |paseo |camino |carretera |ronda |"
    "travesía |carrer |pasaje |rua |r |travessa |alameda |praça |estrada |ul |ulica |al |aleja |pl |na |pod |str |straat |ulitsa |trg |am |"
    "im |zum |zur |alte |neue |große |kleine |obere |untere "
)


def _before(words: str) -> str:
    """A street with its number behind it, whose name begins with one of the words."""
    return (
        rf"\b(?:{words})(?: (?:de|du|des|del|della|dello|delle|dei|degli|di|da|do|dos|das|la|le|les|el|los|las|den|der)){{0,2}}"
        rf" {_NAME}(?:[ -](?:de |del |di |da |la )?{_NAME}){{0,3}},? (?:n[.º°]? ?)?{HOUSE_NUMBER}\b{_TAIL}"
    )


def _street(text: str) -> bool:
    """Not a count of things: "3 Way", "2 Run" and "24 Hour Drive"."""
    return not re.match(r"(?i)\d+ (?:hour|day|minute|week|month|year|time|piece|star|mile|point|step|way)s?\b", text)


def _no_street(text: str) -> bool:
    """Not a street that stands for itself behind words of grammar: "in der Hauptstraße 5"."""
    return not STREETS_END.search(text)


STREETS_END = re.compile(rf"{_END},? \d")
#: Parts that stand alone: units, and codes, whose digits stand beside letters.
ALONE: tuple[Rule, ...] = (
    rule(
        "STREET_ADDRESS",
        r"\b(?:Apt|Apartment|Suite|Ste|Flat)\.? ?#?\d{1,5}[A-Z]?\b",
        0.6,
        needs="apt|apartment|suite|ste|flat",
        reach=(2, 22),
        within=1,
    ),
    rule("STREET_ADDRESS", rf"\b{_POSTCODE}(?!\w)", 0.7, digits=2, reach=(8, 8), mixed=True),
    rule("STREET_ADDRESS", rf"\b{_CANADIAN}(?!\w)", 0.5, digits=3, reach=(8, 8), mixed=True),
)

RULES: tuple[Rule, ...] = ALONE + tuple(
    rule("STREET_ADDRESS", pattern, score, check=check, needs=needs, digits=digits, reach=reach, first=first, behind=behind)
    for pattern, score, check, needs, digits, reach, first, behind in (
        # 12a High Street, Flat 3, London SW1A 2AA; 1600 N. Pennsylvania Ave NW, Washington, DC 20500
        (rf"\b(?<![.,:/-]){HOUSE_NUMBER},? (?:\d{{1,5}} )?(?:[NSEW]{{1,2}}\.? )?(?:(?:{_NAME}|\d{{1,3}}(?:st|nd|rd|th)) ){{0,4}}{_SUFFIX}\b\.?(?: (?:[NSEW]{{1,2}}|North|South|East|West)\b)?{_TAIL}", 0.8, _street, "", 1, (8, 150), "house", ""),
        (rf"(?i)\b(?<![.,:/-])\d{{1,5}}[a-z]? (?:(?:[^\W\d_]{{2,20}}|\d{{1,3}}(?:st|nd|rd|th)) ){{1,3}}{_PLAIN}\b", 0.6, _street, "street|ave|road|rd|boulevard|blvd|lane|drive|terrace|parkway|crescent|highway", 1, (8, 110), "house", ""),
        # Hauptstraße 12, 1010 Wien; Kungsgatan 4; Unter den Linden 5
        (rf"\b(?=[^\W_a-z])(?:\d{{1,5}} )?(?:{_NAME}[ -]){{0,2}}(?=[^\W\d_]{{2,45}}\.?,? \d)[^\W\d_a-z][^\W\d_]{{1,30}}{_END},? {HOUSE_NUMBER}\b{_TAIL}", 0.8, None, "", 1, (100, 120), "", _plain(_END)),
        (rf"\b(?=[^\W_a-z])(?:\d{{1,5}} )?{_NAME}(?: {_NAME}){{0,2}}[ -]{_APART} {HOUSE_NUMBER}\b\.?{_TAIL}", 0.8, None, "", 1, (100, 120), "", f"{_plain(_APART, ' ')}|{_plain(_APART, '-')}"),
        (rf"\b(?<![.,:/-]){HOUSE_NUMBER},? [^\W\d_a-z][^\W\d_]{{2,30}}{_END}(?:,? \d{{1,4}})?\b{_TAIL}", 0.75, None, "", 1, (8, 150), "house", ""),
        # 10 rue de la Paix, 75002 Paris; Via Roma 12; Calle Mayor, 5, 3º
        (rf"\b(?<![.,:/-]){HOUSE_NUMBER}(?: ?(?:bis|ter|quater))?,? (?:{_BEFORE}|{_BEFORE_TOO})(?: (?:de|du|des|del|della|dello|delle|dei|degli|di|da|do|dos|das|la|le|les|el|los|las|l'|d'|den|der)){{0,3}} (?:[ldLD]')?{_NAME}(?:[ -](?:de |du |des |la |le )?{_NAME}){{0,3}}(?: \d{{1,4}}\b)?{_TAIL}", 0.75, None, "", 1, (8, 150), "house", ""),
        (_before(_BEFORE), 0.7, None, _BEFORES, 1, (110, 120), "words", ""),
        (_before(_BEFORE_TOO), 0.7, _no_street, "an der|auf der|in der|unter den", 1, (110, 120), "", ""),
        # USPS Publication 28, sections 281 and 285; military mail
        (r"(?i)\bP\.? ?O\.? ?Box \d{1,6}\b" + _TAIL, 0.85, None, "box", 1, (16, 110), "", ""),
        (r"\b(?:(?:PSC|CMR|Unit|UNIT) \d{1,5},? Box \d{1,5}|US[A-Z]{2} [A-Z]\w{1,20})[\s,]{1,4}(?:APO|FPO|DPO),? (?:AA|AE|AP) \d{5}", 0.95, None, "apo|fpo|dpo", 5, (40, 30), "", ""),
        # a town with its state and code, a code that is called so
        (rf"\b{_TOWN},? {_STATE},? {_ZIP}(?![\w-])", 0.7, None, "", 5, (70, 12), "", _plain(_STATE, " ")),
        (r"(?i)(?<![^\W_])(?:zip(?:[ _-]?code)?|postal[ _-]?code|post[ _-]?code|plz|code[ _-]postal|código postal|kod pocztowy|postnummer)\b(?:\s?/\s?ort)?(?:\s?\.{2,40}\s?|[\s:=is\"'*|>]{1,6})(?P<value>[A-Z0-9]{1,5}[ -]?[A-Z0-9]{2,5})\b", 0.7, lambda t: any(c.isdigit() for c in t), "zip|post|plz|code|pocztowy", 2, (30, 12), "", ""),
    )
)  # fmt: skip

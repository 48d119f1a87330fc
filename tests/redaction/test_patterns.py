"""The pattern tier: each format with values that are real and that are not, structure kept, hostile text read in time."""

import json
import random
import re
import subprocess
import sys
from time import perf_counter, thread_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redaction import patterns
from redaction.engine import spans
from redaction.messages import redact_body
from redaction.patterns import checks
from redaction.patterns.find import RULES, chosen, find
from redaction.patterns.hints import Hints
from redaction.policies import PATTERN_ENTITIES, Policy
from redaction.spans import without_overlaps
from redaction.vault import Vault

ALL = frozenset((*PATTERN_ENTITIES, "PERSON"))


def found(text, least=0.4):
    return [
        (span.type, text[span.start : span.end])
        for span in without_overlaps(text, [span for span in find(text, ALL) if span.score >= least])
    ]


@pytest.mark.parametrize(
    "entity, value, text",
    [
        ("CREDIT_CARD", "378282246310005", "amex {} expired"),
        ("CREDIT_CARD", "4716 9876 2234 1561", "the credit card {} of his"),
        ("IBAN_CODE", "GB82 WEST 1234 5698 7654 32", "pay to {} now"),
        ("IBAN_CODE", "FR1420041010050500013M02606", "{}"),
        ("IBAN_CODE", "de89370400440532013000", "my iban is {}"),
        ("PASSPORT", "x12345678", "my passport number is {}"),
        ("CRYPTO", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "send it to {}!"),
        ("CRYPTO", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "or {}"),
        ("UK_NHS", "943 476 5919", "NHS number {}"),
        ("UK_NINO", "QQ123456C".replace("QQ", "AB"), "his NI number {} is"),
        ("NATIONAL_ID", "12345678Z", "con DNI {}"),
        ("PERSON", "Priya Okafor", "SELECT * FROM t WHERE t.full_name ILIKE '%{}%' AND id = 3"),
        ("PERSON", "Okafor", "UPDATE people SET last_name = '{}', age = 3"),
        ("NATIONAL_ID", "2 55 08 14 168 025 38", "numéro {}"),
        ("NATIONAL_ID", "RSSMRA85T10A562S", "il codice {}"),
        ("TAX_ID", "86095742719", "Steuer-ID {}"),
        ("TAX_ID", "12-3456789", "EIN {}"),
        ("TAX_ID", "DE136695976", "USt-IdNr. {}"),
        ("IN_AADHAAR", "2341 2341 2346", "Aadhaar {}"),
        ("ROUTING_NUMBER", "021000021", "routing number {}"),
        ("BANK_ACCOUNT", "000123456789", "bank account number is {}"),
        ("PASSPORT", "X12345678", "passport no. {} expires"),
        ("US_DRIVER_LICENSE", "D123-4567-8901", "driver's license {}"),
        ("PATIENT_ID", "MRN-558812", "patient ID: {}"),
        ("VEHICLE_ID", "1HGCM82633A004352", "VIN {}"),
        ("PHONE_NUMBER", "(415) 555-2671", "{} is closed"),
        ("PHONE_NUMBER", "02.27.96.63.08", "reach me: {}"),
        ("PHONE_NUMBER", "030 1234567", "Tel. {}"),
        ("MAC_ADDRESS", "00:1A:2b:3C:4d:5E", "device {}"),
        ("IP_ADDRESS", "2001:db8::8a2e:370:7334", "from {} again"),
        ("URL", "https://example.com/a?b=c&d=e", "see {}."),
        ("PASSWORD", "8nZ!kV4%beta", "login with password {}."),
        ("PASSWORD", "s3cr3t", "postgres://app:{}@db.example.com/app"),
        ("PASSWORD", "correct horse", 'password: "{}"'),
        ("SECRET", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "aws_secret_access_key = {}"),
        ("SECRET", "xoxb-123456789012-abcdefABCDEF", "slack {}"),
        ("SECRET", "sk_live_abcdefghijklmnop1234", "STRIPE={}"),
        ("STREET_ADDRESS", "1600 Pennsylvania Avenue NW, Washington, DC 20500", "to {}"),
        ("STREET_ADDRESS", "10 rue de la Paix, 75002 Paris", "au {}"),
        ("STREET_ADDRESS", "Via Roma 12", "abito in {}"),
        ("STREET_ADDRESS", "Kungsgatan 4", "på {}"),
        ("STREET_ADDRESS", "12 high street", "i live at {} ok"),
        ("STREET_ADDRESS", "P.O. Box 1234", "write to {}"),
        ("STREET_ADDRESS", "K1A 0B1", "in {}"),
        ("DATE_TIME", "8 March 1951", "born on {} in"),
        ("DATE_TIME", "08/03/1951", "DOB: {}"),
        ("PERSON", "Anna", "Hi {},\nthanks"),
        ("PERSON", "Tom Baker", "All good.\n\nKind regards,\n{}\n"),
        ("PERSON", "Ellis", "I asked Ms {} again"),
        ("PERSON", "Zoë van der Berg", "my name is {} and"),
        ("USERID", "jdoe_77", "username: {}"),
        ("USERID", "jdoe77", "INFO login user={} ip=203.0.113.7"),
        ("USERID", "jdoe77", "sshd[9]: Accepted publickey for {} from 203.0.113.7 port 51022"),
        # fields of JSON and code, tags, cells of tables, forms with dots
        ("US_DRIVER_LICENSE", "R5999330", '{{"driver_license": "{}"}}'),
        ("PASSPORT", "CJD03318F", '{{"passport_no": "{}"}}'),
        ("PASSPORT", "X1234567", "<passportNumber>{}</passportNumber>"),
        ("BANK_ACCOUNT", "12345678", '{{"user_bank_account_number": "{}"}}'),
        ("INSURANCE_ID", "QX-516350-33", "| Policy number | {} |"),
        ("BANK_ACCOUNT", "71-75-92", "Sort code ..... {}"),
        ("BANK_ACCOUNT", "9533702381", "Account number ..... {}"),
        ("STREET_ADDRESS", "73097", '{{"zip": "{}"}}'),
        ("STREET_ADDRESS", "20322", "PLZ/Ort: {} Wanzleben"),
        ("NATIONAL_ID", "93020745321", "Mój PESEL to {}, telefon +48 693 282 351"),
        ("PHONE_NUMBER", "662 238 615", "Tel.: {}"),
        ("PHONE_NUMBER", "+447700 208 815", "or {}-Fax"),
        ("STREET_ADDRESS", "Dorle-Schaaf-Weg 9, 67382 Bamberg", "nach {}."),
        ("STREET_ADDRESS", "ul. Kreta 814, 38-609 Lublin", "na {}."),
        ("PASSWORD", "$5DDN^wX+A5", "spring.datasource.password={}"),
        ("PASSWORD", "x9[Kq(2)", "{{ password: '{}', roles: [] }}"),
        ("PERSON", "Puck Janssen", "Ticket 7\nReporter: {}\nPhone: none"),
        ("PERSON", "Jan Kowalski", "Imię i nazwisko: {}"),
    ],
)
def test_each_format_is_found_where_it_stands(entity, value, text):
    assert (entity, value) in found(text.format(value))


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112 and 1234 5678 9012 3456",
        "GB82 WEST 1234 5698 7654 33",
        "Version 1.2.3, 12:30:45, 2024-01-05, 3.14159, 10,000,000, 50%",
        "999.999.999.999 and 256.1.1.1",
        "def password_reset(password: str) -> None: return settings.PASSWORD",
        'password = os.environ["DB_PASSWORD"]',
        "The password must have twelve characters; the token expired.",
        "Hi Team,\nDear customer,\nHello there!\nBest regards,\nThe Support",
        "Summarise the order. Password and Email are required.",
        "Released on 5 March 2021, see section 12.4.",
        "SELECT count(*) FROM orders WHERE id = 123456789 LIMIT 100",
        "SELECT id FROM t WHERE file_name = 'Report' AND name = 'Docker'",
        "commit 3f786850e387550fdab836ed7e6dc881de23001b",
        "1600 points, 24 hour drive, 3 way split",
        '"GET /reset HTTP/1.1" 200 2326',
        "123 456 789 rows",
        "context(user=request.user) or user=postgres, api_key='th_…'",
        "caller: Caller = None\n| customer | 3144 |\nWHERE customer > 3144",
        "password: ${DB_PASSWORD} or password=$DB_PASSWORD or password: '{{ vault }}' or password=get_secret(name)",
    ],
)
def test_what_only_looks_like_it_is_left_alone(text):
    assert found(text) == []


def test_what_never_was_issued_is_no_number():
    assert not any(map(checks.ssn, ("000-12-3456", "666-12-3456", "912-12-3456", "123-00-4567", "123-45-0000")))
    assert not checks.nhs("943 476 5918") and not checks.iban("XX82 WEST 1234 5698 7654 32")
    assert not checks.bitcoin("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb") and not checks.luhn("0000 0000 0000 0000")


@pytest.mark.parametrize(
    "text, original",
    [
        ("mail jane\u200b.doe@exam\u00adple.com now", "jane\u200b.doe@exam\u00adple.com"),
        ("card ４１１１ １１１１ １１１１ １１１１.", "４１１１ １１１１ １１１１ １１１１"),
        ("pаsswоrd: hunter2!x", "hunter2!x"),
        ("\u202e\u2066ssn 536-90-4399\u2069", "536-90-4399"),
        ("İİİ ﬁle jane.doe@example.com", "jane.doe@example.com"),
        ("call +٤٤ ٢٠ ٧٩٤٦ ٠٩٥٨", "+٤٤ ٢٠ ٧٩٤٦ ٠٩٥٨"),
    ],
)
def test_offsets_are_those_of_the_original_however_it_is_written(text, original):
    assert original in [value for _, value in found(text)]


@given(st.text(max_size=300))
def test_any_text_gives_spans_inside_it(text):
    last = 0
    for span in without_overlaps(text, find(text, ALL)):
        assert last <= span.start < span.end <= len(text)
        last = span.end


def test_structure_survives():
    policy = Policy(name="p", outbound="mask", stored="none", entities=("EMAIL_ADDRESS", "PHONE_NUMBER", "SECRET"))

    def masked(text):
        return redact_body({"messages": [{"role": "user", "content": text}]}, policy, Vault()).body["messages"][0][
            "content"
        ]

    assert (
        masked("[mail](mailto:jane@example.com) | `jane@example.com` |")
        == "[mail](mailto:<EMAIL_ADDRESS>) | `<EMAIL_ADDRESS>` |"
    )
    assert masked("https://x.test/?mail=jane%40example.com&n=1#top") == "https://x.test/?mail=<EMAIL_ADDRESS>&n=1#top"
    assert masked('api_key="abcd1234efgh5678"\nx = {"a": 1}') == 'api_key="<SECRET>"\nx = {"a": 1}'
    assert masked("password: hunter2!x, next") == "password: <PASSWORD>, next"
    assert json.loads(masked('{"tel": "+44 20 7946 0958", "deep": [["jane@example.com"]]}')) == {
        "tel": "<PHONE_NUMBER>",
        "deep": [["<EMAIL_ADDRESS>"]],
    }
    assert (
        masked("| name | tel |\n| --- | --- |\n| x | +44 20 7946 0958 |")
        == "| name | tel |\n| --- | --- |\n| x | <PHONE_NUMBER> |"
    )


def test_credentials_are_looked_for_by_every_policy_that_looks_for_anything():
    policy = Policy(name="p", outbound="mask", stored="none", entities=("CREDIT_CARD",))
    assert [span.type for span in spans("key sk-proj-abcdefghijklmnop1234, password: hunter2!x", policy)] == [
        "SECRET",
        "PASSWORD",
    ]


#: Text made to keep a pattern busy: long runs of what it repeats, and beginnings without ends.
HOSTILE = [
    "a" * 1000, "a." * 500, "a@" * 500, "1" * 1000, "1 " * 500, "1-" * 500, "(1) " * 250, "+1 (2) " * 150, "A" * 1000, "Aa " * 400,
    "12 Aa Aa Aa Aa " * 70, "password: " * 100, "password is " * 80, "key=" * 250, "://a:" * 200, "http://" * 150, "www.a." * 160,
    "-----BEGIN PRIVATE KEY-----\n" * 40, "eyJaaaaaaaaa." * 80, "Mr. " * 250, "Regards,\n" * 110, "name: " * 160, "::" * 500, "1:" * 500,
    "account number is " * 55, "passport " * 110, "\u200b" * 1000, "а" * 1000, "аa" * 500, "\u202e" * 500 + "1 " * 250, "[" * 1000, "GB82 " * 200,
    "Hauptstraße " * 80, "rue de la " * 100, "\ud800" * 1000, "ﷺ" * 1000, "= " * 500, "x" * 64 + "@" + "y." * 400,
    "((+1" * 250, "1 rue " * 160, "May 4 " * 160, "am 1 " * 200, "www.a" * 200, "-a.b" * 250, "ssn 1 " * 160, " ".join(f"w{n:x}" for n in range(200)),
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE, ids=lambda piece: repr(piece[:12]))
def test_time_grows_with_the_length_and_no_faster(piece):
    """Four times the text takes some four times the processor's time; a quadratic pattern would take sixteen."""
    short, long = piece * 5, piece * 20
    took = {}
    for text in (short, long):
        took[text] = min(_seconds(text) for _ in range(3))
    assert took[long] < 10 * took[short] + 0.05


def _seconds(text):
    began = thread_time()
    find(text, ALL)
    return thread_time() - began


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.entity} {rule.pattern.pattern[:20]}")
def test_every_repetition_is_bounded(rule):
    """What makes time grow no faster than the length, whatever the text: no pattern reads on without an end."""
    for pattern in (rule.pattern, rule.near, rule.shape):
        assert pattern is None or re._parser.parse(pattern.pattern).getwidth()[1] <= 40_000


def test_a_text_stops_at_its_time():
    policy = Policy(name="p", outbound="mask", stored="none", entities=("PHONE_NUMBER",))
    with pytest.raises(TimeoutError):
        spans("Call +44 20 7946 0958 or write. " * 10_000, policy, ends_at=perf_counter())


def test_noise_of_any_kind_is_read():
    rng = random.Random(3)
    signs = "aA1 .-@:/()\n\"'+=,#é٣\u200bß\U0001f600"
    text = "".join(rng.choice(signs) for _ in range(100_000))
    for span in spans(text, Policy(name="p", outbound="mask", stored="none", entities=PATTERN_ENTITIES)):
        assert 0 <= span.start < span.end <= len(text)


def test_patterns_alone_import_neither_presidio_nor_spacy_nor_numpy():
    program = (
        "import sys; from redaction.patterns import find; "
        "find('call +44 20 7946 0958, card 4111 1111 1111 1111', {'PHONE_NUMBER', 'CREDIT_CARD'}); "
        "print(sorted({'presidio_analyzer', 'spacy', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_every_rule_has_something_to_find():
    assert {rule.entity for rule in RULES} <= ALL
    assert {entity for entity in PATTERN_ENTITIES if entity != "US_PASSPORT"} <= {rule.entity for rule in RULES}


def enough(match, rule):
    """Whether a match has the digits without which it is nothing."""
    return sum(char.isdigit() for char in match[0]) >= rule.digits


@given(st.lists(st.sampled_from([
    "10 rue de la Paix", "Via Roma 12", "12a High Street", "078-05-1120", "4111 1111 1111 1111", "2024-02-30", "3/4/99", "943 476 5919", "1.2.3.4", "in", "am",
    "an der Alster 4", "x1", "1x", "-", ".", ",", "\n", " ", "7", "12345678901", "850101-1234", "Calle Mayor, 5",
    "+44 (0)20 7946 0958", "(+49) 30 1234567", "((030) 1234567", "12bis rue Monge", "12-14 Elm Road", "www.example.com/a", "see.shop.de", "-a.com", "x@b.org",
    "4 May 1999", "May 4th", "https://a.example/b",
]), max_size=12).map(" ".join))  # fmt: skip
def test_a_pattern_tried_where_it_can_begin_finds_what_it_finds_anywhere(text):
    reading = chosen(ALL, 0.0).read(text)
    for rule in (rule for rule in RULES if rule.first):
        needed = (
            reading.strings.intersection(rule.needs) or reading.words & rule.words or not (rule.needs or rule.words)
        )
        anywhere = [match.span() for match in rule.pattern.finditer(text) if enough(match, rule)] if needed else []
        assert [match.span() for match in reading.matches(rule) if enough(match, rule)] == anywhere


def test_an_account_is_told_by_an_abbreviated_label():
    for text in ("ACCNUM: 77281945", "acc no 77281945", "acct number 77281945"):
        assert "BANK_ACCOUNT" in {span.type for span in patterns.find(text, ["BANK_ACCOUNT"])}, text


@given(
    st.lists(st.text("abc -_é", max_size=4), min_size=1, max_size=6),
    st.lists(st.text("abc -_é\n", max_size=8), max_size=6),
)
def test_hints_are_those_strings_that_the_text_has_however_often_it_is_asked(strings, texts):
    words = re.compile(r"\w+")
    anywhere = [string for string in strings if string]
    beginnings = [string for string in strings if words.match(string)]
    hints = Hints(anywhere, beginnings)
    for text in [*texts, *texts]:
        there, begin = hints(text, set(words.findall(text)))
        assert there == {string for string in anywhere if string in text}
        assert {string for string in beginnings if re.search(rf"\b{string}", text)} <= begin <= set(beginnings)


def test_a_rule_that_cannot_score_enough_changes_nothing_but_what_is_tried():
    text = "Born on 8 March 1951, seen on 9 April 2020; PESEL 44051401359, or 44051401458, call 555 0199 223 or 212-555-0199."
    every = find(text, ALL)
    for least in (0.0, 0.25, 0.4, 0.6, 0.9):
        assert chosen(ALL, least).find(text) == [span for span in every if span.score >= least]
    some = chosen(ALL, 0.9, (("DATE_TIME", 0.3),)).find(text)
    assert some == [span for span in every if span.score >= (0.3 if span.type == "DATE_TIME" else 0.9)]

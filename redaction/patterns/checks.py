"""Whether a number is one: checksums and ranges, each with the standard that defines it. All take the matched text."""

import hashlib
import re
from functools import partial

NOT_DIGIT = re.compile(r"\D+")


def digits(text: str) -> str:
    return NOT_DIGIT.sub("", text)


def luhn(text: str) -> bool:
    """ISO/IEC 7812-1 annex B; all the same digit is no number."""
    number = digits(text)
    total = 0
    for place, digit in enumerate(reversed(number)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 * (value > 9)
    return len(set(number)) > 1 and total % 10 == 0


def card(text: str) -> bool:
    """ISO/IEC 7812: an issuer's first digits (2 to 6), 12 to 19 digits in all, Luhn."""
    number = digits(text)
    return 12 <= len(number) <= 19 and number[0] in "23456" and luhn(number)


#: Length of an IBAN by country. Source: SWIFT, IBAN Registry, release 99.
IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29, "BY": 28,
    "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18,
    "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HN": 28, "HR": 21, "HU": 28,
    "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20,
    "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28,
    "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24,
    "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26,
    "UA": 29, "VA": 22, "VG": 24, "XK": 20, "YE": 30,
}  # fmt: skip


def iban(text: str) -> bool:
    """ISO 13616: the country's length, and 1 modulo 97 with the first four characters moved behind and A = 10 … Z = 35."""
    code = re.sub(r"[\s-]", "", text).upper()
    if IBAN_LENGTHS.get(code[:2]) != len(code):
        return False
    return int("".join(str(int(char, 36)) for char in code[4:] + code[:4])) % 97 == 1


def weighted(text: str, *, weights: tuple[int, ...], modulo: int, rest: int = 0) -> bool:
    """Whether the digits times their weights leave `rest`."""
    number = digits(text)
    return (
        len(number) == len(weights) and sum(int(d) * w for d, w in zip(number, weights, strict=True)) % modulo == rest
    )


#: NHS number, modulus 11, check digit last (NHS Data Dictionary, "NHS NUMBER").
nhs = partial(weighted, weights=(10, 9, 8, 7, 6, 5, 4, 3, 2, 1), modulo=11)
#: Dutch citizen service number: eleven test with -1 for the last digit (Rijksdienst voor Identiteitsgegevens).
bsn = partial(weighted, weights=(9, 8, 7, 6, 5, 4, 3, 2, -1), modulo=11)
#: Polish PESEL: the last digit makes the weighted sum a multiple of ten (gov.pl, "PESEL").
pesel = partial(weighted, weights=(1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1), modulo=10)


def routing(text: str) -> bool:
    """ABA routing number: weights 3, 7, 1 modulo 10, and a Federal Reserve prefix (ABA, Routing Number Policy)."""
    number = digits(text)
    prefix = int(number[:2] or 99)
    return (prefix <= 12 or 21 <= prefix <= 32 or 61 <= prefix <= 72 or prefix == 80) and weighted(
        number, weights=(3, 7, 1, 3, 7, 1, 3, 7, 1), modulo=10
    )


def ssn(text: str) -> bool:
    """Never issued: areas 000, 666 and 900 to 999, group 00, serial 0000 (SSA, 20 CFR 422.103; randomised since 2011)."""
    number = digits(text)
    area, group, serial = number[:3], number[3:5], number[5:]
    return len(number) == 9 and area not in ("000", "666") and area[0] != "9" and group != "00" and serial != "0000"


def itin(text: str) -> bool:
    """First digit 9, fourth and fifth 50 to 65, 70 to 88, 90 to 92 or 94 to 99 (IRS, Publication 1915)."""
    number = digits(text)
    group = int(number[3:5] or 0)
    return number[:1] == "9" and (50 <= group <= 65 or 70 <= group <= 88 or 90 <= group <= 92 or 94 <= group <= 99)


def steuer_id(text: str) -> bool:
    """German tax id: 11 digits, ISO 7064 MOD 11,10, the first not 0, one digit twice or thrice in the first ten (BZSt)."""
    number = digits(text)
    if len(number) != 11 or number[0] == "0" or len(set(number[:10])) not in (8, 9):
        return False
    product = 10
    for digit in number[:10]:
        total = (int(digit) + product) % 10 or 10
        product = total * 2 % 11
    return (11 - product) % 10 == int(number[10])


def spanish_id(text: str) -> bool:
    """DNI and NIE: the letter is the number modulo 23, X, Y, Z standing for 0, 1, 2 (Real Decreto 1553/2005)."""
    code = re.sub(r"[\s.-]", "", text).upper()
    number = code[:-1].replace("X", "0").replace("Y", "1").replace("Z", "2")
    return number.isdigit() and "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23] == code[-1]


def nir(text: str) -> bool:
    """French social security number: key is 97 minus the number modulo 97, Corsica 2A as 19, 2B as 18 (INSEE)."""
    code = re.sub(r"\s", "", text).upper().replace("2A", "19").replace("2B", "18")
    return len(code) == 15 and code.isdigit() and 97 - int(code[:13]) % 97 == int(code[13:])


#: Values of characters at odd places (Decreto ministeriale 23/12/1976).
_CF_ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23),
        strict=True,
    )
)  # fmt: skip


def codice_fiscale(text: str) -> bool:
    """Italian tax code: odd and even places by table, modulo 26, as a letter."""
    code = text.upper()
    even = [int(char) if char.isdigit() else ord(char) - 65 for char in code[1:15:2]]
    return chr((sum(_CF_ODD[char] for char in code[0:15:2]) + sum(even)) % 26 + 65) == code[15]


def swedish_id(text: str) -> bool:
    """Personnummer: a day of birth (or plus 60), Luhn over the last ten digits (Skatteverket, SKV 704)."""
    number = digits(text)[-10:]
    return 1 <= int(number[2:4]) <= 12 and 1 <= int(number[4:6]) % 60 <= 31 and luhn(number)


_D = [[0] * 10 for _ in range(10)]
for _i in range(10):
    for _j in range(10):  # the dihedral group of order 10
        _D[_i][_j] = (
            (_i + _j) % 5 if _i < 5 and _j < 5
            else (_i + _j - 5) % 5 + 5 if _i < 5
            else (_i - _j) % 5 + 5 if _j < 5
            else (_i - _j) % 5
        )  # fmt: skip
_P = [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]]
while len(_P) < 8:
    _P.append([_P[-1][digit] for digit in _P[1]])


def aadhaar(text: str) -> bool:
    """Verhoeff's check over twelve digits, the first not 0 or 1 (UIDAI, Aadhaar numbering scheme)."""
    number = digits(text)
    check = 0
    for place, digit in enumerate(reversed(number)):
        check = _D[check][_P[place % 8][int(digit)]]
    return len(number) == 12 and number[0] not in "01" and check == 0


_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def bitcoin(text: str) -> bool:
    """Base58Check (a double SHA-256's first four bytes), or bech32 and bech32m (BIP 173, BIP 350)."""
    if text[:3].lower() == "bc1":
        return _bech32(text.lower())
    number = 0
    for char in text:
        number = number * 58 + _BASE58.index(char)
    raw = number.to_bytes(25, "big") if number < 1 << 200 else b""
    return bool(raw) and hashlib.sha256(hashlib.sha256(raw[:-4]).digest()).digest()[:4] == raw[-4:]


def _bech32(text: str) -> bool:
    check = 1
    for value in [3, 3, 0, 2, 3, *(_BECH32.index(char) for char in text[3:])]:  # the prefix "bc", expanded
        top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= generator if top >> bit & 1 else 0
    return check in (1, 0x2BC830A3)


def ipv4(text: str) -> bool:
    """Four numbers of at most 255; what is no address of a host (0.0.0.0, versions such as 1.2.3.4 are not told apart)."""
    return all(int(part) <= 255 for part in text.split("/")[0].split(":")[0].split("."))


def ipv6(text: str) -> bool:
    """Eight groups, or fewer with one gap (RFC 4291, 2.2); neither a time nor a bare "::"."""
    groups = text.split(":")
    return len(text) > 3 and ((text.count("::") == 1 and len(groups) <= 8) or len(groups) == 8)

"""The audit log's chain, verified: whether every entry is as it was written, and none is missing."""

import hashlib
from dataclasses import dataclass

from django.db import connection, transaction

from gateway.sql import queries

_sql = queries("audit.sql")


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the chain. Kept elsewhere, it proves later that nothing up to it was changed or taken away."""

    entries: int
    hash: str

    def __str__(self) -> str:
        return f"{self.entries}:{self.hash or '-'}"

    @classmethod
    def parse(cls, text: str) -> "Head":
        """The head as `str` writes it. Raises ValueError."""
        count, _, hashed = text.strip().partition(":")
        hashed = "" if hashed == "-" else hashed
        if not count.isdecimal() or (len(hashed) != 64 if int(count) else hashed):
            raise ValueError(f"{text!r} is no head; it looks like 1204:5f0c…, as `audit verify` prints it.")
        return cls(int(count), hashed)


class Broken(Exception):
    """The chain does not hold; the message says where."""


def verify(known: Head | None = None) -> Head:
    """Reads the whole chain and returns its head, or raises Broken.

    With `known`, a head that was noted earlier, the chain must have that hash at that place, too: this finds out who rewrote
    everything after some entry, the head in the database included.
    """
    place, last, inside = 0, "", connection.in_atomic_block
    with transaction.atomic(), connection.cursor() as cursor:
        if not inside:
            # One state of the database, whoever writes meanwhile.
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        while True:
            cursor.execute(_sql["links"], [place])
            links = cursor.fetchall()
            for found, entry, hashed, text in links:
                place += 1
                if found != place:
                    raise Broken(f"Place {place} of the chain is missing; the next one is {found}.")
                if text is None:
                    raise Broken(f"Entry {entry}, at place {place}, was deleted.")
                last = hashlib.sha256(f"{last}\n{text}".encode()).hexdigest()
                if last != hashed:
                    raise Broken(f"Entry {entry}, at place {place}, is not as it was written, or its link was changed.")
                if known and known.entries == place and known.hash != hashed:
                    raise Broken(f"Place {place} has another hash than the head that was noted: it was written anew.")
            if not links:
                break
        cursor.execute(_sql["unlinked"])
        if row := cursor.fetchone():
            raise Broken(f"Entry {row[0]} is not in the chain: it was written past its trigger.")
        cursor.execute(_sql["head"])
        row = cursor.fetchone()
    head = Head(*row) if row else Head(0, "")
    if head != Head(place, last):
        told = f"The head says {head.entries} entries, and {place} are there"
        raise Broken(f"{told}: some were taken off the end, or it was changed.")
    if known and known.entries > place:
        raise Broken(f"The head that was noted says {known.entries} entries, and only {place} are there.")
    return head


def current() -> Head:
    """The head as the database has it, unverified."""
    with connection.cursor() as cursor:
        cursor.execute(_sql["head"])
        row = cursor.fetchone()
    return Head(*row) if row else Head(0, "")

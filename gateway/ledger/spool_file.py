"""Files of calls that the ledger could not take yet: framed, checksummed, encrypted, each written by one process.

A file begins with HEADER. A record is MARK, the length and the first eight bytes of the SHA-256 of what follows, and that: JSON,
encrypted. Whoever has a file locked (`flock`) writes or replays it; a file that can be locked is of a process that ended.
"""

import fcntl
import hashlib
import os
import struct
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

HEADER = b"tollhouse spool 1\n"
MARK = b"\xf0\x9fTH"
FRAME = struct.Struct(">4sI8s")
SUFFIX = ".spool"


class SpoolFull(Exception):
    """The file has no room for a record: its bound is reached, or the disk says no."""


class UnknownVersion(Exception):
    """The file was written by a release whose records this one does not know."""


@dataclass(frozen=True, slots=True)
class Contents:
    """The records of a file, in order, and how many of its bytes belong to none of them."""

    records: list[bytes]
    damaged: int


def frame(record: bytes) -> bytes:
    """A record as it stands in a file."""
    return FRAME.pack(MARK, len(record), hashlib.sha256(record).digest()[:8]) + record


def parse(data: bytes) -> Contents:
    """The whole records of a file's bytes. What was not written to its end, or was changed since, is left out and counted.

    Raises UnknownVersion.
    """
    if not data.startswith(HEADER):
        if HEADER.startswith(data):
            return Contents([], len(data))  # Its writer died before the first record.
        raise UnknownVersion(f"its first line is {data[: len(HEADER)]!r}, not {HEADER!r}")
    records = list(_records(data))
    return Contents(records, len(data) - len(HEADER) - sum(FRAME.size + len(record) for record in records))


def _records(data: bytes) -> Iterator[bytes]:
    at = len(HEADER)
    # After a damaged record the next mark with a checksum that holds goes on.
    while (at := data.find(MARK, at)) >= 0 and at + FRAME.size <= len(data):
        _, length, digest = FRAME.unpack_from(data, at)
        record = data[at + FRAME.size : at + FRAME.size + length]
        if len(record) == length and hashlib.sha256(record).digest()[:8] == digest:
            yield record
            at += FRAME.size + length
        else:
            at += 1


def put_beside(path: Path, suffix: str, data: bytes) -> Path:
    """Adds frames, or the bytes of a whole file, to a file beside that one, for a person to look at."""
    beside = path.with_name(path.name + suffix)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "wb") as copy:
        begun = os.fstat(copy.fileno()).st_size or data.startswith(HEADER)
        copy.write(data if begun else HEADER + data)
        copy.flush()
        os.fsync(copy.fileno())
    return beside


class SpoolFile:
    """A file that this process has locked. Its methods block; they are called from one thread at a time."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd
        self.size = os.fstat(fd).st_size
        _open.add(self)

    @classmethod
    def create(cls, path: Path) -> Self:
        """A new file, that survives a crash of the machine from now on. Raises OSError."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Under its name only when it is locked, or somebody could take it for one of the dead.
        new = path.with_suffix(".new")
        made = cls(path, os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        try:
            fcntl.flock(made._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            made._write(HEADER)
            new.rename(path)
            made._sync_directory()
        except OSError:
            made.close()
            raise
        return made

    @classmethod
    def take(cls, path: Path) -> Self | None:
        """The file of a process that ended; None while a process has it, or where it is gone. Raises OSError."""
        try:
            fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever had it before may have replayed and removed it meanwhile.
            if os.fstat(fd).st_nlink:
                return cls(path, fd)
        except BlockingIOError:
            pass
        os.close(fd)
        return None

    def append(self, records: Iterable[bytes], most_bytes: int) -> None:
        """Writes records, all or none, and returns when the disk has them. Raises SpoolFull."""
        data = b"".join(map(frame, records))
        if self.size + len(data) > most_bytes:
            raise SpoolFull(f"{self.path.name} has reached {most_bytes:,} bytes (SPOOL_MAX_BYTES)")
        try:
            self._write(data)
        except OSError as error:
            # Half a record would be skipped when the file is read, but it takes room.
            os.ftruncate(self._fd, self.size)
            raise SpoolFull(f"{self.path.name} cannot be written: {error.strerror}") from error

    def contents(self) -> Contents:
        """What it holds. Raises UnknownVersion."""
        return parse(self.read())

    def read(self) -> bytes:
        """All its bytes."""
        parts, at = [], 0
        while part := os.pread(self._fd, 1 << 20, at):
            parts.append(part)
            at += len(part)
        return b"".join(parts)

    def clear(self) -> None:
        """Forgets all records; they are in the ledger."""
        os.ftruncate(self._fd, len(HEADER))
        os.fsync(self._fd)
        self.size = len(HEADER)

    def remove(self) -> None:
        """Deletes and closes the file, whose records are all in the ledger."""
        self.path.unlink(missing_ok=True)
        self._sync_directory()
        self.close()

    def close(self) -> None:
        """Leaves the file to whoever replays it."""
        os.close(self._fd)
        _open.discard(self)

    def _write(self, data: bytes) -> None:
        written = 0
        while written < len(data):
            written += os.pwrite(self._fd, data[written:], self.size + written)
        os.fsync(self._fd)
        self.size += len(data)

    def _sync_directory(self) -> None:
        directory = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


_open: "weakref.WeakSet[SpoolFile]" = weakref.WeakSet()


def _forget() -> None:
    """A forked child gives the parent's files back: with a copy open, the lock would outlive the parent."""
    for file in list(_open):
        os.close(file._fd)
    _open.clear()


os.register_at_fork(after_in_child=_forget)

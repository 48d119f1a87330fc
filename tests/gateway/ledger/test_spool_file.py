"""Spool files: what was written whole is read whole, whatever happened to the rest."""

import os
import signal
import subprocess
import sys

import pytest

from gateway.ledger.spool_file import HEADER, SpoolFile, SpoolFull, UnknownVersion, frame, parse
from tests.server import ROOT

MUCH = 10**6


@pytest.fixture
def path(tmp_path):
    return tmp_path / "spool" / "a.spool"


def test_records_come_back_in_order(path):
    file = SpoolFile.create(path)
    file.append([b"one", b""], MUCH)
    file.append([b"three"], MUCH)
    assert file.contents().records == [b"one", b"", b"three"] and file.contents().damaged == 0
    file.clear()
    assert (file.contents().records, file.size) == ([], len(HEADER))
    file.append([b"four"], MUCH)
    file.close()
    assert parse(path.read_bytes()).records == [b"four"]


def test_nobody_else_may_read_it(path):
    SpoolFile.create(path).close()
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


@pytest.mark.parametrize("cut", range(1, len(frame(b"second"))))
def test_a_torn_tail_is_left_out_and_counted(cut):
    whole = HEADER + frame(b"first") + frame(b"second")
    found = parse(whole[:-cut])
    assert found.records == [b"first"] and found.damaged == len(frame(b"second")) - cut


def test_a_damaged_record_hides_no_later_one():
    data = bytearray(HEADER + frame(b"first") + frame(b"second") + frame(b"third"))
    data[len(HEADER) + len(frame(b"first")) + 18] ^= 1
    found = parse(bytes(data))
    assert found.records == [b"first", b"third"] and found.damaged == len(frame(b"second"))


def test_a_length_that_is_damaged_hides_no_later_one():
    data = bytearray(HEADER + frame(b"first") + frame(b"second"))
    data[len(HEADER) + 4] = 0xFF
    assert parse(bytes(data)).records == [b"second"]


@pytest.mark.parametrize("size", range(len(HEADER)))
def test_a_file_whose_writer_died_at_once_is_empty(size):
    assert parse(HEADER[:size]).records == []


def test_a_file_of_another_version_is_refused():
    with pytest.raises(UnknownVersion, match="tollhouse spool 2"):
        parse(b"tollhouse spool 2\n" + frame(b"what?"))


def test_a_full_file_takes_nothing_more_and_keeps_what_it_has(path):
    file = SpoolFile.create(path)
    room = len(HEADER) + len(frame(b"x" * 10))
    file.append([b"x" * 10], room)
    with pytest.raises(SpoolFull, match="SPOOL_MAX_BYTES"):
        file.append([b""], room)
    assert file.contents().records == [b"x" * 10]
    file.close()


SETUP = """
import os, sys, time
os.environ |= {"DATABASE_URL": "postgresql:///none", "DJANGO_SETTINGS_MODULE": "deploy.settings"}
import django
django.setup()
"""
FULL_DISK = """
import resource
from pathlib import Path
from gateway.ledger.spool_file import SpoolFile, SpoolFull
file = SpoolFile.create(Path(sys.argv[1]))
file.append([b"kept"], 10**6)
resource.setrlimit(resource.RLIMIT_FSIZE, (file.size + 100, file.size + 100))
try:
    file.append([b"x" * 1000], 10**6)
except SpoolFull as error:
    print(error)
file.append([b"fits"], 10**6)
"""


def test_a_disk_that_takes_half_a_record_has_none_of_it(path):
    done = subprocess.run(
        [sys.executable, "-c", SETUP + FULL_DISK, path], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "cannot be written: File too large" in done.stdout
    found = parse(path.read_bytes())
    assert (found.records, found.damaged) == ([b"kept", b"fits"], 0)


HOLDS = """
from pathlib import Path
from gateway.ledger.spool_file import SpoolFile
file = SpoolFile.create(Path(sys.argv[1]))
file.append([b"mine"], 10**6)
if sys.argv[2] == "forks":
    heard, said = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(said, b".")
        time.sleep(60)
    os.read(heard, 1)  # The child is past what it does first.
    print(child, flush=True)
else:
    print(0, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("how", ["alone", "forks"])
def test_a_file_can_be_taken_when_its_process_was_killed_and_not_before(path, how):
    process = subprocess.Popen(
        [sys.executable, "-c", SETUP + HOLDS, path, how], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    child = int(process.stdout.readline())
    try:
        assert SpoolFile.take(path) is None
        process.kill()
        process.wait()
        taken = SpoolFile.take(path)
        assert taken is not None and taken.contents().records == [b"mine"]
        assert SpoolFile.take(path) is None
        taken.remove()
        assert not path.exists() and SpoolFile.take(path) is None
    finally:
        process.kill()
        process.stdout.close()
        if child:
            os.kill(child, signal.SIGKILL)

"""Analysis in a process of its own: the same findings, an end at its time, and another one where it ends itself."""

import os
import re
import sys
import threading
from pathlib import Path
from time import perf_counter

import psutil
import pytest

from redaction import apart, engine
from redaction.messages import RedactionFailed, redact_body
from redaction.policies import DEFAULT, Policy
from redaction.vault import Vault
from redaction.yielding import NICENESS, SLICE_NS

TEXT = (
    "Anna Schmidt of 12 High Street, London, writes from anna.schmidt@example.com; her card is 4111 1111 1111 1111. "
    * 5
)
PATTERNS = Policy(name="p", outbound="mask", stored="none", entities=("EMAIL_ADDRESS", "CREDIT_CARD"))


@pytest.fixture(autouse=True)
def none_left(settings):
    """Without the tagger, which takes a child its time to load; nothing is left of a test."""
    settings.TOLLHOUSE = {"REDACTION_MODEL": ""}
    apart.close()
    yield
    apart.close()
    assert children() == []


def children():
    return [child for child in psutil.Process().children() if "redaction.apart" in " ".join(child.cmdline())]


def test_a_child_finds_what_is_found_here_whatever_the_text_and_the_policy(settings):
    settings.TOLLHOUSE = {}
    for text in (TEXT, "Anna \ud800 Schmidt, " + TEXT, "\x00" + TEXT, "é\u200b" * 500 + TEXT):
        for policy in (DEFAULT, PATTERNS, DEFAULT):
            assert apart.spans(text, policy) == engine.spans(text, policy) != []
    [child] = children()
    assert child.nice() >= NICENESS
    if sys.platform == "linux":
        assert os.sched_getscheduler(child.pid) == os.SCHED_BATCH
        assert os.getsid(child.pid) == child.pid
        # As far as this kernel knows of them, and tells.
        session, asked = Path(f"/proc/{child.pid}/autogroup"), Path(f"/proc/{child.pid}/sched")
        assert not session.exists() or session.read_text().endswith(f"nice {NICENESS}\n")
        if tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 12) and asked.exists():
            assert re.findall(r"se\.slice\s*:\s*(\d+)", asked.read_text()) in ([], [str(SLICE_NS)])


def test_what_takes_no_time_is_analysed_here():
    assert apart.spans("anna@example.com", PATTERNS)[0].type == "EMAIL_ADDRESS"
    assert children() == []


def test_settings_can_do_without(settings):
    settings.TOLLHOUSE = {"REDACTION_MODEL": "", "REDACTION_APART": False}
    assert apart.spans(TEXT, DEFAULT)
    assert children() == []


def test_a_child_that_ends_is_replaced():
    apart.spans(TEXT, DEFAULT)
    [child] = children()
    child.kill()
    assert apart.spans(TEXT, DEFAULT) == engine.spans(TEXT, DEFAULT)
    assert children() != [child]


def test_another_model_is_another_child_and_one_that_is_not_there_is_told(settings):
    apart.spans(TEXT, DEFAULT)
    [first] = children()
    settings.TOLLHOUSE = {"REDACTION_MODEL": "no_such_model"}
    with pytest.raises(OSError):
        apart.spans(TEXT, DEFAULT)
    [second] = children()
    assert first != second


def test_where_no_child_lives_nothing_passes(monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(apart.Gone, match="ended with status 1"):
        apart.spans(TEXT, DEFAULT)
    with pytest.raises(RedactionFailed):
        redact_body({"messages": [{"role": "user", "content": f"{TEXT} once more"}]}, DEFAULT, Vault())


def test_what_is_not_done_in_its_time_is_ended():
    apart.spans(TEXT, DEFAULT)
    with pytest.raises(TimeoutError):
        apart.spans(TEXT * 100, DEFAULT, ends_at=perf_counter())
    # One that does not even say so: it is stopped as it would be by something that never comes back.
    [child] = children()
    child.suspend()
    with pytest.raises(TimeoutError):
        apart.spans(TEXT, DEFAULT, ends_at=perf_counter() - apart.GRACE_S)
    assert children() == []
    assert apart.spans(TEXT, DEFAULT)


def test_each_thread_that_waits_has_its_own():
    found = []
    threads = [threading.Thread(target=lambda: found.append(apart.spans(TEXT * 20, DEFAULT))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] == found[1] != [] and 1 <= len(children()) <= 2


def test_a_forked_process_leaves_its_parents_children_alone():
    expected = apart.spans(TEXT, DEFAULT)
    pid = os.fork()
    if not pid:
        # What it asks goes to a child of its own, which ends with it.
        os._exit(0 if apart.spans(TEXT, DEFAULT) == expected else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert apart.spans(TEXT, DEFAULT) == expected

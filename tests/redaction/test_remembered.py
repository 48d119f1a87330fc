"""Texts that were analysed before are not analysed again, and what is kept of them is no text."""

import gc

import pytest

from redaction import engine, remembered
from redaction.policies import Policy
from redaction.remembered import Memory

TEXT = "Write to jane.doe@example.com or call +44 20 7946 0958"


def policy(*entities, threshold=0.4):
    return Policy(name="p", outbound="mask", stored="none", entities=entities, threshold=threshold)


MAIL, BOTH = policy("EMAIL_ADDRESS"), policy("EMAIL_ADDRESS", "PHONE_NUMBER")


def counting(**options):
    """A memory, and the texts that it had analysed, in order."""
    texts = []

    def analyse(text, policy, **more):
        texts.append(text)
        return engine.spans(text, policy, **more)

    return Memory(analyse, **options), texts


def test_a_text_is_analysed_once_for_each_policy():
    memory, analysed = counting()
    assert memory.spans(TEXT, BOTH) == memory.spans(TEXT, BOTH) == engine.spans(TEXT, BOTH)
    assert [span.type for span in memory.spans(TEXT, MAIL)] == ["EMAIL_ADDRESS"]
    assert memory.spans(TEXT, policy("EMAIL_ADDRESS", "PHONE_NUMBER", threshold=0.99))
    assert len(analysed) == 3
    memory.spans(TEXT, policy("EMAIL_ADDRESS", "PHONE_NUMBER"))
    assert len(analysed) == 3


def test_an_equal_model_name_is_part_of_the_question(settings):
    memory, analysed = counting()
    memory.spans(TEXT, MAIL)
    settings.TOLLHOUSE = {"REDACTION_MODEL": ""}
    memory.spans(TEXT, MAIL)
    assert len(analysed) == 2


def test_findings_are_forgotten_after_their_time_unless_met_again():
    now = [0.0]
    memory, analysed = counting(lifetime_s=10, clock=lambda: now[0])
    memory.spans(TEXT, MAIL)
    now[0] = 9
    memory.spans(TEXT, MAIL)
    now[0] = 18
    memory.spans(TEXT, MAIL)
    assert len(analysed) == 1
    now[0] = 28
    memory.spans(TEXT, MAIL)
    assert len(analysed) == 2


def test_texts_and_bytes_are_bounded_and_the_oldest_goes_first():
    few, analysed = counting(most_texts=3)
    for text in "abcad":
        few.spans(f"text {text}", MAIL)
    assert len(few) == 3 and len(analysed) == 4
    few.spans("text a", MAIL)
    assert len(analysed) == 4
    small = Memory(most_bytes=5 * (remembered.ENTRY_BYTES + remembered.SPAN_BYTES))
    for number in range(50):
        small.spans(f"{number} {TEXT}", MAIL)
    assert len(small) == 5


def test_the_bytes_kept_are_about_what_is_said():
    import tracemalloc

    texts = [f"{number} {TEXT}" for number in range(1_000)]
    memory = Memory()
    memory.spans("warm", MAIL)
    tracemalloc.start()
    for text in texts:
        memory.spans(text, MAIL)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < 1_000 * (remembered.ENTRY_BYTES + remembered.SPAN_BYTES)


def test_no_text_is_kept():
    memory = Memory()
    memory.spans(TEXT, BOTH)

    def strings(value, depth=0):
        if isinstance(value, str | bytes):
            yield value if isinstance(value, str) else value.decode("latin-1")
        elif depth < 8:
            for inner in gc.get_referents(value):
                if not isinstance(inner, type) and not callable(inner):
                    yield from strings(inner, depth + 1)

    kept = list(strings(memory._entries))
    assert "EMAIL_ADDRESS" in kept
    assert not any("jane" in one or "7946" in one for one in kept)


def test_a_failed_analysis_is_not_kept():
    memory = Memory()
    with pytest.raises(TimeoutError):
        memory.spans(TEXT, MAIL, ends_at=0)
    assert len(memory) == 0 and memory.spans(TEXT, MAIL)

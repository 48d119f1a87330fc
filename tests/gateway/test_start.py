"""What a process loads before it does anything: every command and every server waits for it."""

import subprocess
import sys

from tests.server import ROOT, environment

#: Takes long to load, and few ever need it.
SELDOM = {
    "numpy", "reportlab", "PIL", "slack_sdk", "pyarrow", "apprise", "sentry_sdk", "litellm", "spacy", "opentelemetry.sdk", "import_export",
    "tablib", "openpyxl",
}  # fmt: skip


def test_what_is_seldom_needed_is_not_loaded_by_all(transactional_db):
    code = f"import sys, deploy.asgi; print(sorted(set(sys.modules) & {SELDOM}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "[]", done.stderr

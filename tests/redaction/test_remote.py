"""A Presidio analyzer elsewhere finds the names: over TCP, within the guard and its time, or no call goes out."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import perf_counter

import pytest

from redaction import engine
from redaction.engine import AnalyzerAway, spans
from redaction.messages import RedactionFailed, redact_body
from redaction.policies import Policy
from redaction.remote import Remote, address
from redaction.vault import Vault

POLICY = Policy(name="p", outbound="mask", stored="none", entities=("PERSON", "EMAIL_ADDRESS"))


class Analyzer(BaseHTTPRequestHandler):
    """Stands in for presidio-analyzer's REST server: each `Quark` is a person, as is `Zoé`; `server.says` is said instead."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append((self.path, asked))
        found = [
            [
                {
                    "start": at,
                    "end": at + len(name),
                    "score": 0.85,
                    "entity_type": "PERSON",
                    "analysis_explanation": None,
                }
                for name in ("Quark", "Zoé")
                if (at := text.find(name)) >= 0
            ]
            for text in asked["text"]
        ]
        status, said = self.server.says or (200, json.dumps(found).encode())
        self.send_response(status)
        self.send_header("Content-Length", str(len(said)))
        if status == 302:
            self.send_header("Location", "http://127.0.0.1:9/")
        self.end_headers()
        for byte in said if self.server.drips else [said]:
            self.wfile.write(bytes([byte]) if self.server.drips else byte)
            if self.server.drips and self.server.stopped.wait(0.05):
                return

    def log_message(self, *args):
        pass


@contextmanager
def served():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Analyzer)
    server.asked, server.says, server.drips, server.stopped = [], None, False, threading.Event()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield server
    finally:
        server.stopped.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def analyzer(settings):
    with served() as server:
        settings.TOLLHOUSE = {"REDACTION_MODEL": f"{server.url}?language=de", "REDACTION_MODEL_PRIVATE": True}
        yield server


def sent(*texts, policy=POLICY, **options):
    messages = [{"role": "user", "content": text} for text in texts]
    return [m["content"] for m in redact_body({"messages": messages}, policy, Vault(), **options).body["messages"]]


def test_its_names_and_our_patterns_are_put_together(analyzer):
    assert [(s.type, s.start, s.end) for s in spans("Zoé 😀 Quark, q@x.example.com", POLICY)] == [
        ("PERSON", 0, 3), ("PERSON", 6, 11), ("EMAIL_ADDRESS", 13, 28)
    ]  # fmt: skip
    [(path, asked)] = analyzer.asked
    assert path == "/analyze" and asked["language"] == "de" and "PERSON" in asked["entities"]


def test_a_call_s_texts_go_in_one_request_and_what_was_met_is_not_asked_again(analyzer):
    # No other test has these texts, and no other port this analyzer: the process's memory knows neither.
    texts = "Dear Quark", '{"to": "Zoé"}', "mail q@x.example.com"
    assert sent(*texts) == ["Dear <PERSON>", '{"to": "<PERSON>"}', "mail <EMAIL_ADDRESS>"]
    assert [asked["text"] for _, asked in analyzer.asked] == [["Dear Quark", "to: Zoé", "mail q@x.example.com"]]
    assert sent("Dear Quark", "and Zoé") == ["Dear <PERSON>", "and <PERSON>"]
    assert [asked["text"] for _, asked in analyzer.asked][1:] == [["and Zoé"]]


def test_patterns_alone_ask_nobody(analyzer):
    policy = Policy(name="p", outbound="mask", stored="none", entities=("EMAIL_ADDRESS",))
    assert sent("from Quark, q@x.example.com", policy=policy) == ["from Quark, <EMAIL_ADDRESS>"]
    assert analyzer.asked == []


@pytest.mark.parametrize(
    "says",
    [
        (500, b"{}"), (302, b""), (200, b"nothing"), (200, b"[]"), (200, b'[[{"start": 0}]]'), (200, b"{}"),
        (200, b'[[{"start": 0, "end": 999, "score": 1, "entity_type": "PERSON"}]]'),
    ],
)  # fmt: skip
def test_other_answers_fail_closed(analyzer, says):
    analyzer.says = says
    with pytest.raises(RedactionFailed, match="The analyzer of REDACTION_MODEL") as raised:
        sent(f"Nobody but Quark {says}")
    assert "Quark" not in str(raised.value) and raised.value.__suppress_context__


def test_an_analyzer_that_is_away_fails_closed_or_the_tagger_steps_in(settings, caplog):
    with served() as server:
        url = server.url
    settings.TOLLHOUSE = {"REDACTION_MODEL": url, "REDACTION_MODEL_PRIVATE": True}
    text = "My name is Harriet Blackwood and I live in Leeds, away"
    with pytest.raises(RedactionFailed, match="did not answer"):
        sent(text)
    settings.TOLLHOUSE = {**settings.TOLLHOUSE, "REDACTION_MODEL_AWAY": "built-in"}
    assert sent(text) == ["My name is <PERSON> and I live in Leeds, away"]
    assert "Harriet" not in caplog.text and "did not answer" in caplog.text


def test_a_slow_one_is_left_when_the_route_s_time_is_over(analyzer):
    analyzer.says, analyzer.drips = (200, b"[[" + b" " * 10_000), True
    with pytest.raises(RedactionFailed):
        sent("Quark, slowly", ends_at=perf_counter() + 0.2)


def test_who_did_not_answer_rests_and_is_asked_again_later():
    with served() as server:
        remote = Remote(server.url, lambda ip: True, rest_s=60)
        server.says = (503, b"")
        for _ in range(2):
            with pytest.raises(AnalyzerAway):
                remote.find("Quark")
        assert len(server.asked) == 1
        awake = Remote(server.url, lambda ip: True, rest_s=0)
        with pytest.raises(AnalyzerAway):
            awake.find("Quark")
        server.says = None
        assert [span.type for span in awake.find("Quark")] == ["PERSON"]


def test_the_guard_holds(analyzer, settings):
    settings.TOLLHOUSE = {"REDACTION_MODEL": analyzer.url}
    engine._loaded.cache_clear()
    with pytest.raises(RedactionFailed):
        sent("Quark behind the guard")
    assert analyzer.asked == []


@pytest.mark.parametrize("url", ["ftp://x", "https://", "https://u:p@x", "https://x?key=1", "https://x#y"])
def test_wrong_addresses_are_told(url):
    with pytest.raises(ValueError, match="write"):
        address(url)

"""Names and places by a Presidio analyzer that runs elsewhere: `POST /analyze` of its REST API.

Connections go where the guard lets them, redirects are not followed, and every request has an end.
"""

import json
import math
import secrets
import socket
import ssl
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from http.client import HTTPConnection, HTTPException
from time import monotonic, perf_counter
from typing import Any
from urllib.parse import parse_qs, urlsplit

from redaction.policies import NER_ENTITIES
from redaction.spans import AnalyzerAway, Span, parts, trimmed

#: What is asked for, and what an analyzer may call it. The rest is found by patterns, wherever names are.
ASKED = (*NER_ENTITIES, "STREET_ADDRESS")
SAME = {name: name for name in ASKED} | {
    "PER": "PERSON",
    "GPE": "LOCATION",
    "ADDRESS": "STREET_ADDRESS",
    "ORG": "ORGANIZATION",
}
#: Bounds of one request: seconds, texts and characters of it, bytes of its answer.
TIMEOUT_S = 10.0
MOST_TEXTS, MOST_CHARACTERS, MOST_BYTES = 100, 100_000, 20_000_000
#: For so long an analyzer that did not answer is not asked again, as each call would wait for it.
REST_S = 1.0
#: Findings that were asked for ahead and not taken yet.
MOST_AHEAD = 1_000


class Remote:
    """An analyzer at an address such as `https://presidio.example?language=de`. Raises ValueError for no such address.

    `allowed` says whether an IP address may be connected to.
    """

    def __init__(self, url: str, allowed: Callable[[str], bool], *, rest_s: float = REST_S) -> None:
        self._host, self._port, self._path, self._language, self._secure = address(url)
        self._allowed, self._rest_s = allowed, rest_s
        self._rests_until = -math.inf
        self._secret = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._ahead: OrderedDict[bytes, list[Span]] = OrderedDict()

    def find(self, text: str) -> list[Span]:
        """The entities in the text. Raises AnalyzerAway when there is no answer, or none that can be used."""
        with self._lock:
            found = self._ahead.get(self._key(text))
        return self._analyse([text], math.inf)[0] if found is None else found

    def ahead(self, texts: Iterable[str], *, ends_at: float = math.inf) -> None:
        """Asks for the entities of many texts in few requests, for `find` to take. Raises AnalyzerAway as it does."""
        wanted = list(
            dict.fromkeys(piece for text in texts for _, piece in parts(text) if not piece.isspace() and piece)
        )
        for batch in _batches(wanted):
            for text, found in zip(batch, self._analyse(batch, ends_at), strict=True):
                with self._lock:
                    self._ahead[self._key(text)] = found
                    while len(self._ahead) > MOST_AHEAD:
                        self._ahead.popitem(last=False)

    def _key(self, text: str) -> bytes:
        return blake2b(text.encode("utf-8", "surrogatepass"), key=self._secret, digest_size=16).digest()

    def _analyse(self, texts: Sequence[str], ends_at: float) -> list[list[Span]]:
        if monotonic() < self._rests_until:
            raise AnalyzerAway("The analyzer of REDACTION_MODEL did not answer just now.")
        body = json.dumps({"text": list(texts), "language": self._language, "entities": ASKED}).encode()
        try:
            answer = json.loads(self._post(body, min(TIMEOUT_S, ends_at - perf_counter())))
            return [_spans(text, found) for text, found in zip(texts, answer, strict=True)]
        except (OSError, HTTPException) as error:
            self._rests_until = monotonic() + self._rest_s
            # Without the error's own words, which may be the server's, and without what led to it.
            raise AnalyzerAway(f"The analyzer of REDACTION_MODEL did not answer ({type(error).__name__}).") from None
        except (ValueError, TypeError, KeyError):
            raise AnalyzerAway(
                "The analyzer of REDACTION_MODEL answered something else than Presidio's spans."
            ) from None

    def _post(self, body: bytes, seconds: float) -> bytes:
        if seconds <= 0:
            raise TimeoutError
        connection = HTTPConnection(self._host, self._port)
        watch = None
        try:
            connection.sock = channel = self._connected(seconds)
            # A timeout of the socket's own is for each step; this one ends whatever comes in drops.
            watch = threading.Timer(seconds, channel.shutdown, (socket.SHUT_RDWR,))
            watch.daemon = True
            watch.start()
            connection.request("POST", self._path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            if answer.status != 200:
                raise HTTPException(f"status {answer.status}")
            content = answer.read(MOST_BYTES + 1)
            if len(content) > MOST_BYTES:
                raise HTTPException("too long")
            return content
        finally:
            if watch:
                watch.cancel()
            connection.close()

    def _connected(self, seconds: float) -> socket.socket:
        """A connection to an address that the guard lets pass: the one that is connected to, whatever the name says later."""
        error: OSError = OSError("no address")
        for family, kind, protocol, _, place in socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM):
            if not self._allowed(str(place[0])):
                error = OSError("not a public address")
                continue
            channel = socket.socket(family, kind, protocol)
            try:
                channel.settimeout(seconds)
                channel.connect(place)
                if self._secure:
                    return ssl.create_default_context().wrap_socket(channel, server_hostname=self._host)
                return channel
            except OSError as failed:
                channel.close()
                error = failed
        raise error


def address(url: str) -> tuple[str, int, str, str, bool]:
    """Host, port, path, language and whether it is TLS. Raises ValueError, saying what to write."""
    split = urlsplit(url)
    if (
        split.scheme not in ("http", "https")
        or not split.hostname
        or split.username
        or split.password
        or split.fragment
    ):
        raise ValueError(
            "write an address like https://presidio.example or http://presidio:3000?language=de, without credentials"
        )
    query = parse_qs(split.query)
    language = query.pop("language", ["en"])[0]
    if query:
        raise ValueError("write nothing but ?language=… behind the analyzer's address")
    secure = split.scheme == "https"
    return split.hostname, split.port or (443 if secure else 80), split.path.rstrip("/") + "/analyze", language, secure


def _batches(texts: Sequence[str]) -> Iterable[list[str]]:
    batch: list[str] = []
    for text in texts:
        if batch and (len(batch) == MOST_TEXTS or sum(map(len, batch)) + len(text) > MOST_CHARACTERS):
            yield batch
            batch = []
        batch.append(text)
    if batch:
        yield batch


def _spans(text: str, found: Any) -> list[Span]:
    """An analyzer's findings as ours. Raises ValueError, TypeError or KeyError for what is none of them."""
    spans = []
    for one in found:
        start, end, score = int(one["start"]), int(one["end"]), float(one["score"])
        if not 0 <= start < end <= len(text) or not 0 <= score <= 1:
            raise ValueError("no such place")
        if entity := SAME.get(one["entity_type"]):
            span = trimmed(text, Span(start=start, end=end, type=entity, score=score))
            spans += [span] if span else []
    return spans

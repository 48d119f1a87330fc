"""A Sentry for tests: takes envelopes on a real port, at `dsn`, and keeps their items."""

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class SentryHost:
    """`items` are pairs of type and payload; `raw` is all that came, as text. Use as a context manager."""

    def __init__(self) -> None:
        self.items: list[tuple[str, Any]] = []
        self.raw = ""

    def __enter__(self) -> "SentryHost":
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.dsn = f"http://0123456789abcdef0123456789abcdef@127.0.0.1:{self._http.server_port}/1"
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def of(self, *types: str) -> list[Any]:
        """The payloads of these types."""
        return [payload for kind, payload in list(self.items) if kind in types]

    def spans(self, op: str) -> list[Any]:
        """Spans of that op, as they stand in streamed items."""
        streamed = [span for payload in self.of("span") for span in payload.get("items", [payload])]
        return [span for span in streamed if _plain(span["attributes"].get("sentry.op")) == op]

    def take(self, body: bytes) -> None:
        self.raw += body.decode("utf-8", "replace")
        _, _, rest = body.partition(b"\n")
        while rest.strip():
            header, _, rest = rest.partition(b"\n")
            head = json.loads(header)
            if "length" in head:
                payload, rest = rest[: head["length"]], rest[head["length"] :].removeprefix(b"\n")
            else:
                payload, _, rest = rest.partition(b"\n")
            self.items.append((head["type"], json.loads(payload)))


def _plain(value: Any) -> Any:
    return value.get("value") if isinstance(value, dict) else value


def attributes(span: Any) -> dict[str, Any]:
    return {name: _plain(value) for name, value in span["attributes"].items()}


def _handler(host: SentryHost) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            host.take(gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body)
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *args: object) -> None:
            """Nothing: tests have an output of their own."""

    return Handler

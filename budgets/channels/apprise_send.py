"""A process that sends one message with Apprise and can do nothing else. Started by `budgets.channels.apprise`.

Reads an order as JSON from its input: `url`, `allow_private`, `timeout_s`, and `title`, `body`, `kind` when there is
something to send. Prints `{"ok", "answer", "permanent"}`. From the moment that Apprise is loaded an audit hook refuses
connections to private addresses (those that are made, whatever a name resolved to before), programs, and files.
"""

import json
import logging
import os
import ssl
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

# A file that is run, so that nothing else of ours is loaded; this one imports nothing of ours either.
sys.path.append(str(Path(__file__).parents[2]))
from budgets.addresses import is_public

PROGRAMS = ("subprocess.", "os.exec", "os.system", "os.posix_spawn", "os.spawn", "os.fork", "pty.")
CHANGES = (
    "os.remove",
    "os.rename",
    "os.mkdir",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.chmod",
    "os.truncate",
    "shutil.",
)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC

#: Bytes of address space, several times what Apprise needs.
MOST_MEMORY = 640 * 2**20
#: Characters of what Apprise logged that are passed on.
MOST_TOLD = 5000
#: What may be read wherever it is, as plugins are loaded when they are needed.
CODE, PACKAGES = {".py", ".pyc", ".so", ".pyd"}, {"site-packages", "dist-packages"}


def bound_memory() -> None:
    """Ends this process, and nothing else, where a service answers without end: Apprise reads answers to their end."""
    with suppress(ImportError):  # not on Windows
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))


class Guard:
    """An audit hook; what it refused is kept in `refused`, as services tell only that something failed."""

    def __init__(self, *, allow_private: bool) -> None:
        self.allow_private = allow_private
        self.refused: list[str] = []
        certificates = ssl.get_default_verify_paths()
        readable = [sys.prefix, sys.base_prefix, "/usr/share", "/etc/mime.types", "/dev/null", "/dev/urandom", "/etc/ssl",
                    certificates.cafile, certificates.capath, os.environ.get("SSL_CERT_FILE")]  # fmt: skip
        self.readable = [os.path.realpath(path) for path in readable if path]

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("socket.connect", "socket.sendto"):
            self._connect(arguments[1])
        elif event == "open":
            self._open(*arguments)
        elif event.startswith((*PROGRAMS, *CHANGES)):
            self._refuse(f"{event} is refused")

    def _connect(self, address: object) -> None:
        host = str(address[0]).split("%")[0] if isinstance(address, tuple) else ""
        try:
            public = is_public(host)
        except ValueError:
            # A socket of this machine (D-Bus), or a name that would be resolved behind this check.
            self._refuse("a connection to something that is no address of the internet is refused")
            return
        if not self.allow_private and not public:
            self._refuse(f"{host} is not a public address (see TOLLHOUSE_ALLOW_PRIVATE_UPSTREAMS)")

    def _open(self, path: object, _mode: object, flags: object) -> None:
        if not isinstance(path, str | bytes):
            return  # a descriptor that is open already
        if isinstance(flags, int) and flags & WRITING:
            self._refuse("writing a file is refused")
        found = Path(os.path.realpath(os.fsdecode(path)))
        code = found.suffix in CODE or PACKAGES & set(found.parts)
        if not code and not any(found.is_relative_to(folder) for folder in self.readable):
            self._refuse("reading a file of this machine is refused")

    def _refuse(self, why: str) -> None:
        self.refused.append(why)
        raise PermissionError(None, why)


class Heard(logging.Handler):
    """What Apprise logs, as it says only in its log what a service answered."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def main() -> dict[str, object]:
    """Does what the order says."""
    bound_memory()
    order = json.load(sys.stdin)
    import apprise
    import apprise.plugins

    heard = Heard()
    logger = logging.getLogger("apprise")
    logger.addHandler(heard)
    logger.propagate = False
    logger.setLevel(logging.WARNING)
    asset = apprise.AppriseAsset(storage_mode=apprise.PersistentStoreMode.MEMORY)
    asset.async_mode = asset.http_redirects = False
    sender = apprise.Apprise(asset=asset)
    guard = Guard(allow_private=order["allow_private"])
    sys.addaudithook(guard)
    if not sender.add(order["url"]):
        why = "; ".join(guard.refused) or "Apprise cannot read this URL; see its page for the service."
        return {"ok": False, "answer": why, "permanent": True}
    if "body" not in order:
        return {"ok": True, "answer": "", "permanent": False}
    for service in sender:
        service.socket_connect_timeout = service.socket_read_timeout = order["timeout_s"]
    sent = sender.notify(title=order["title"], body=order["body"], notify_type=order["kind"], body_format="text")
    answer = "sent" if sent else "; ".join(guard.refused or heard.lines) or "The service did not take it."
    return {"ok": bool(sent), "answer": answer[:MOST_TOLD], "permanent": bool(guard.refused)}


if __name__ == "__main__":
    print(json.dumps(main()))

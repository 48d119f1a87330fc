"""Analysis in a process of its own, so that the calls that this one serves wait for nobody's analysis.

Python runs one thread at a time: an analysis in a thread takes turns with all that the event loop does. Here the thread only
waits, for a child that has the interpreter for itself and gives way to its parent where there are too few cores. Children are
started when they are first needed, as many as there are threads that wait for one, and end with their parent. What is not done
in its time is ended with its child, whatever it does.

Texts go to a child through a pipe that nobody else can read; children keep and log none of it.
"""

import atexit
import contextlib
import json
import logging
import math
import os
import pickle
import select
import signal
import struct
import subprocess
import sys
import threading
from time import perf_counter
from typing import Any, BinaryIO

from django.conf import settings

from redaction import engine
from redaction.policies import NER_ENTITIES, Policy
from redaction.spans import Span
from redaction.yielding import give_way, taking_turns

logger = logging.getLogger("tollhouse.redaction")

#: Texts of fewer characters that only patterns look at are analysed here: the way to a child and back takes as long.
SHORT = 400
#: How long a child may take to load what it needs, and to say that its time is over, in seconds.
START_S, GRACE_S = 60.0, 1.0
LENGTH = struct.Struct(">Q")

_lock = threading.Lock()
_idle: "list[Child]" = []


class Gone(Exception):
    """The child ended, or could not be started. The message says how, and holds no text."""


def spans(text: str, policy: Policy, *, ends_at: float = math.inf) -> list[Span]:
    """As `redaction.engine.spans`, in a child where that takes longer than the way to it.

    Where names are looked for by an analyzer elsewhere, a thread waits for it as well as a child. Raises Gone where two
    children ended over it.
    """
    looks_for_names = bool(engine.model()) and not policy.finds.isdisjoint(NER_ENTITIES)
    if (
        not on()
        or not policy.finds
        or (looks_for_names and engine.remote())
        or (len(text) < SHORT and not looks_for_names)
    ):
        return engine.spans(text, policy, ends_at=ends_at)
    try:
        return _asked(text, policy, ends_at)
    except Gone as error:
        logger.warning("a process that analyses texts %s; another one is started", error)
        return _asked(text, policy, ends_at)


def on() -> bool:
    """Whether settings ask for children."""
    return bool(getattr(settings, "TOLLHOUSE", {}).get("REDACTION_APART", True))


def warm() -> None:
    """Loads the language model now, in a child where there are to be some. Raises as `engine.warm` does."""
    if not on() or engine.remote():
        engine.warm()
    elif engine.model():
        spans("Warm", Policy(name="warm", outbound="mask", stored="none", entities=NER_ENTITIES))


def close() -> None:
    """Ends the children that have nothing to do."""
    with _lock:
        ended, _idle[:] = _idle[:], []
    for child in ended:
        child.end()


def _asked(text: str, policy: Policy, ends_at: float) -> list[Span]:
    model = engine.model()
    child = None
    with _lock:
        while _idle and child is None:
            child = _idle.pop()
            if child.model != model:
                child.end()
                child = None
    child = child or Child(model)
    try:
        found = child.ask(text, policy, ends_at)
    except BaseException:
        child.end()
        raise
    with _lock:
        _idle.append(child)
    if isinstance(found, str):
        raise TimeoutError if found == "TimeoutError" else OSError if found == "OSError" else RuntimeError(found)
    return found


class Child:
    """A process that analyses one text after another. To be used by one thread at a time."""

    def __init__(self, model: str) -> None:
        self.model = model
        self._policy: Policy | None = None
        # The path as it is here, which the child could not tell from its command.
        program = f"import sys; sys.path[:] = {sys.path!r}; from redaction.apart import serve; serve({model!r})"
        environment = {"OPENBLAS_NUM_THREADS": "1", **os.environ}
        try:
            self._process = subprocess.Popen(  # noqa: S603  (this interpreter, and nothing that anybody gave)
                [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise Gone(f"could not be started: {error.strerror}") from None
        assert self._process.stdin and self._process.stdout
        self._to, self._from = self._process.stdin, self._process.stdout
        self._started = False

    def ask(self, text: str, policy: Policy, ends_at: float) -> list[Span] | str:
        """The findings, or the name of what the analysis raised. Raises Gone, and TimeoutError when it does not even say so."""
        left = ends_at - perf_counter()
        # The policy is sent when it is another one, as it may have long lists.
        question = (text, None if policy == self._policy else policy, left)
        self._policy = policy
        try:
            _write(self._to, pickle.dumps(question, protocol=pickle.HIGHEST_PROTOCOL))
        except OSError:
            raise Gone(self._how()) from None
        answer = self._read(left + GRACE_S + (0 if self._started else START_S))
        self._started = True
        if isinstance(answer, str):
            return answer
        return [Span(start=start, end=end, type=entity, score=score) for start, end, entity, score in answer]

    def _read(self, wait_s: float) -> Any:
        poll = select.poll()
        poll.register(self._from, select.POLLIN)
        if not poll.poll(None if wait_s == math.inf else max(0, wait_s) * 1000):
            raise TimeoutError("the analysis took too long")
        try:
            return json.loads(_read(self._from))
        except EOFError:
            raise Gone(self._how()) from None

    def _how(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return f"ended with status {self._process.wait(1)}"
        return "closed its pipe"

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self.forget()

    def forget(self) -> None:
        """Closes what this process holds of it."""
        for pipe in (self._to, self._from):
            with contextlib.suppress(OSError):
                pipe.close()


def serve(model: str) -> None:
    """A child's life: texts come by standard input until it is closed, findings go by standard output."""
    # An interrupt at a terminal is the parent's to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    give_way()
    settings.configure(TOLLHOUSE={"REDACTION_MODEL": model})
    policy: Policy | None = None
    while True:
        try:
            text, given, left = pickle.loads(_read(sys.stdin.buffer))  # noqa: S301  (the parent's own)
        except EOFError:
            return
        policy = given or policy
        answer: object
        try:
            assert policy
            with taking_turns():
                found = engine.spans(text, policy, ends_at=perf_counter() + left)
            answer = [(span.start, span.end, span.type, span.score) for span in found]
        except Exception as error:  # noqa: BLE001  (whatever fails in a recogniser: its message may quote the text)
            answer = type(error).__name__
        try:
            _write(sys.stdout.buffer, json.dumps(answer).encode())
        except BrokenPipeError:
            # The parent is gone. What is left in the buffer has no reader, and would be written once more at the end.
            os._exit(0)


def _write(pipe: Any, data: bytes) -> None:
    pipe.write(LENGTH.pack(len(data)))
    pipe.write(data)
    pipe.flush()


def _read(pipe: BinaryIO | Any) -> bytes:
    """The next message. Raises EOFError at the end."""
    (length,) = LENGTH.unpack(_exactly(pipe, LENGTH.size))
    return _exactly(pipe, length)


def _exactly(pipe: BinaryIO | Any, size: int) -> bytes:
    data: bytes = pipe.read(size)
    if len(data) < size:
        raise EOFError
    return data


def _forked() -> None:
    """In a process that was forked, its parent's children are none of its own."""
    global _lock
    _lock = threading.Lock()
    for child in _idle:
        child.forget()
    _idle.clear()


os.register_at_fork(after_in_child=_forked)
atexit.register(close)

"""How a process gives way to others where there are too few cores: a share, and at once where somebody else has something to do.

How it is to be scheduled is a request to Linux, which does nothing elsewhere, or where it is not known. That it lets go of its
core again and again holds everywhere.
"""

import contextlib
import ctypes
import os
import platform
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

#: `nice` of the process, and of its session: some hundredths of a core stay its own where all are busy.
NICENESS = 19
#: How long it asks to run at a time. Whoever asks for less, as every process does by itself (some 3 ms), and wakes up, runs first
#: (EEVDF, Linux 6.12; docs.kernel.org/scheduler/sched-eevdf.html). The longest that the kernel takes.
SLICE_NS = 100_000_000
#: How long it computes before it lets go of its core. Who wakes up on a core with a process that has nothing but a lower share
#: may wait for the next tick, 4 ms (seen in traces of Linux 6.18, also while the other core had nothing to do).
TURN_S = 0.0005
#: How long it lets go; the kernel makes some 50 µs of it (`PR_SET_TIMERSLACK`).
PAUSE_S = 0.000001
#: `sched_setattr`, which Python and the C library have no function for.
SYSCALLS = {"x86_64": 314, "aarch64": 274}


class _Attributes(ctypes.Structure):
    """`struct sched_attr` in its first version; see sched_setattr(2)."""

    _fields_ = (
        ("size", ctypes.c_uint32), ("policy", ctypes.c_uint32), ("flags", ctypes.c_uint64), ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32), ("runtime", ctypes.c_uint64), ("deadline", ctypes.c_uint64), ("period", ctypes.c_uint64),
    )  # fmt: skip


def give_way() -> None:
    """For this process, which leads a session of its own: the kernel may share cores between sessions first (`autogroup`), and
    then between the processes of one."""
    os.nice(NICENESS)
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(NICENESS))
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    if call := SYSCALLS.get(platform.machine()):
        asked = _Attributes(ctypes.sizeof(_Attributes), os.SCHED_BATCH, 0, NICENESS, 0, SLICE_NS, 0, 0)
        ctypes.CDLL(None).syscall(call, 0, ctypes.byref(asked), 0)


@contextlib.contextmanager
def taking_turns() -> Iterator[None]:
    """Within, this process sleeps for a moment after each TURN_S, so that who waits for its core gets it.

    For the main thread of a process that has no other use for SIGALRM, whose handler stays: a last signal may come late. What
    one step of C code does is not interrupted.
    """
    taking = True

    def pause(*_: object) -> None:
        time.sleep(PAUSE_S)
        if taking:
            signal.setitimer(signal.ITIMER_REAL, TURN_S)

    signal.signal(signal.SIGALRM, pause)
    signal.siginterrupt(signal.SIGALRM, False)
    signal.setitimer(signal.ITIMER_REAL, TURN_S)
    try:
        yield
    finally:
        taking = False
        signal.setitimer(signal.ITIMER_REAL, 0)

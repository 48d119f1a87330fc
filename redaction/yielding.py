"""How a process gives way to others where there are too few cores: a share, and at once where somebody else has something to do.

Everything here is a request to Linux, and does nothing elsewhere, or where it is not known.
"""

import contextlib
import ctypes
import os
import platform
import sys
from pathlib import Path

#: `nice` of the process, and of its session: some hundredths of a core stay its own where all are busy.
NICENESS = 19
#: How long it asks to run at a time. Whoever asks for less, as every process does by itself (some 3 ms), and wakes up, runs first
#: (EEVDF, Linux 6.12; docs.kernel.org/scheduler/sched-eevdf.html). The longest that the kernel takes.
SLICE_NS = 100_000_000
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

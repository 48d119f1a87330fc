"""Runs a command that ends with its parent.

    python -m deploy.child COMMAND [ARGUMENT …]

Stays between parent and command, passes signals on, and ends the command when the parent is gone.
"""

import os
import signal
import subprocess
import sys
import time


def main() -> int:
    parent = os.getppid()
    command = subprocess.Popen(sys.argv[1:])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: command.send_signal(received))
    while command.poll() is None:
        if os.getppid() != parent:
            command.terminate()
            try:
                command.wait(10)
            except subprocess.TimeoutExpired:
                command.kill()
        time.sleep(0.2)
    return command.returncode


if __name__ == "__main__":
    sys.exit(main())

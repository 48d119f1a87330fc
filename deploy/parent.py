"""Children that end with their parent, so that nothing is left over, not even after `kill -9`."""

import os
import signal
import threading
import time


def end_with_parent() -> None:
    """Ends this process, as by SIGTERM, soon after its parent has ended."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()

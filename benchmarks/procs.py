"""What processes use, asked from outside."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil


def family(pid: int | None) -> list[psutil.Process]:
    """A process and its children; none for a server that is not ours to look at."""
    if pid is None:
        return []
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def cpu_s(processes: Iterable[psutil.Process]) -> float:
    """Their CPU time so far, user and system."""
    total = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def peak_bytes(processes: Iterable[psutil.Process]) -> int:
    """The largest resident set that any one of them ever had, by Linux's own record."""
    return max(_peak(process.pid) for process in processes)


def _peak(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:")), 0)

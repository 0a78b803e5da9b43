"""The machine in a sentence: figures mean nothing without it."""

import os
import platform
import statistics
import time
from pathlib import Path

FLUSHES = 50


def described(folder: Path) -> str:
    """Its cores, its Python, and what durability costs on its disk."""
    cores = len(os.sched_getaffinity(0))
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{cores} cores, {system}, a flush to disk takes {flush_ms(folder):.2f} ms"


def flush_ms(folder: Path) -> float:
    """The median of writing 4 KiB and waiting until they are on disk."""
    with (folder / "flush").open("wb", buffering=0) as file:
        return statistics.median(_flush(file.fileno()) for _ in range(FLUSHES)) * 1e3


def _flush(file: int) -> float:
    began = time.perf_counter()
    os.write(file, bytes(4096))
    os.fsync(file)
    return time.perf_counter() - began

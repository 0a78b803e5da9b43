"""What the host itself uses."""

from __future__ import annotations

import os
import platform
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

GIB = 1 << 30


def prime() -> None:
    """CPU time is counted from here on."""
    psutil.cpu_percent()


def sample() -> dict[str, Any]:
    """CPU in % of all threads since the last sample, memory and disks in GiB, traffic in bytes since the start."""
    memory = psutil.virtual_memory()
    return {
        "cpu_percentage": psutil.cpu_percent(),
        "cpu_cores": psutil.cpu_count(logical=False) or psutil.cpu_count(),
        "cpu_threads": psutil.cpu_count(),
        "memory_usage": round((memory.total - memory.available) / GIB, 3),
        "memory_percentage": memory.percent,
        "get_datetime": now_text(),
        "os": _system(),
        "kernel": platform.release(),
        "uptime_s": round(time.time() - psutil.boot_time()),
        "load1": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        **_disks(),
        **_traffic(),
    }


def now_text() -> str:
    """The local time, with its offset: what a host's zone is, only the host knows."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def _system() -> str:
    """As /etc/os-release names it; elsewhere as Python does."""
    try:
        with Path("/etc/os-release").open(encoding="utf-8") as lines:
            found = dict(line.rstrip("\n").split("=", 1) for line in lines if "=" in line)
    except (OSError, UnicodeDecodeError):
        return f"{platform.system()} {platform.version()}"[:255]
    return found.get("PRETTY_NAME", platform.system()).strip("\"'")[:255]


def _disks() -> dict[str, float]:
    """Every file system of a disk, each device once: it may be mounted many times."""
    mounts = {partition.device: partition.mountpoint for partition in reversed(psutil.disk_partitions())}
    used = total = 0
    for mount in mounts.values():
        try:
            usage = psutil.disk_usage(mount)
        except OSError:  # an empty drive, or a mount that is not ours to see
            continue
        used, total = used + usage.used, total + usage.total
    return {"disk_usage": round(used / GIB, 3), "disk_total": round(total / GIB, 3)}


def _traffic() -> dict[str, int]:
    """What all interfaces but the machine's own received and sent."""
    counters = psutil.net_io_counters(pernic=True)
    outside = [counter for name, counter in counters.items() if not name.lower().startswith("lo")]
    return {
        "network_received": sum(counter.bytes_recv for counter in outside),
        "network_sent": sum(counter.bytes_sent for counter in outside),
    }

"""What the host itself uses."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from agent import clock, limits

if TYPE_CHECKING:
    from collections.abc import Iterable

GIB = 1 << 30
# Images that are mounted, as of snaps: they are always full.
_IMAGES = frozenset({"squashfs", "iso9660", "erofs"})
_INTERFACES = Path("/sys/class/net")
_LOOPBACK = re.compile(r"lo[0-9]*|loopback.*", re.IGNORECASE)


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
        "get_datetime": limits.now(),
        "os": _system(),
        "kernel": platform.release(),
        "uptime_s": round(clock.uptime_s()),
        "load1": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        **_disks(),
        **_traffic(),
    }


def _system() -> str:
    """As /etc/os-release names it; elsewhere as Python does."""
    try:
        with Path("/etc/os-release").open(encoding="utf-8") as lines:
            found = dict(line.rstrip("\n").split("=", 1) for line in lines if "=" in line)
    except (OSError, UnicodeDecodeError):
        return f"{platform.system()} {platform.version()}"
    return found.get("PRETTY_NAME", platform.system()).strip("\"'")


def _disks() -> dict[str, float]:
    """Every file system of a disk, each device once: it may be mounted many times."""
    found = [partition for partition in psutil.disk_partitions() if partition.fstype not in _IMAGES]
    mounts = {partition.device: partition.mountpoint for partition in reversed(found)}
    used = total = 0
    for mount in mounts.values():
        try:
            usage = psutil.disk_usage(mount)
        except OSError:  # an empty drive, or a mount that is not ours to see
            continue
        used, total = used + usage.used, total + usage.total
    return {"disk_usage": round(used / GIB, 3), "disk_total": round(total / GIB, 3)}


def _traffic() -> dict[str, int]:
    """What the machine received and sent."""
    counters = psutil.net_io_counters(pernic=True)
    outside = [counters[name] for name in _outside(counters)]
    return {
        "network_received": sum(counter.bytes_recv for counter in outside),
        "network_sent": sum(counter.bytes_sent for counter in outside),
    }


def _outside(names: Iterable[str]) -> list[str]:
    """The cards: a container's bytes pass its veth and a bridge too. Where no card is seen, all but the loopback."""
    cards = [name for name in names if (_INTERFACES / name / "device").exists()]
    return cards or [name for name in names if not _LOOPBACK.fullmatch(name)]

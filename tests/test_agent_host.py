"""What the agent tells of the host itself."""

import time
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from agent import host
from agent.host import GIB

pytestmark = pytest.mark.agent


class Traffic(NamedTuple):
    bytes_recv: int
    bytes_sent: int


class Mount(NamedTuple):
    device: str
    mountpoint: str
    fstype: str


class Usage(NamedTuple):
    used: int
    total: int


def traffic(monkeypatch: pytest.MonkeyPatch, cards: Path, *names: str) -> tuple[int, int]:
    """What is told of interfaces of which the first has 1 byte, the second 10, and so on."""
    counters = {name: Traffic(10**place, 2 * 10**place) for place, name in enumerate(names)}
    monkeypatch.setattr(psutil, "net_io_counters", lambda **_: counters)
    monkeypatch.setattr(host, "_INTERFACES", cards)
    shown = host.sample()
    return shown["network_received"], shown["network_sent"]


def test_what_passes_a_bridge_is_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "eth0" / "device").mkdir(parents=True)
    (tmp_path / "docker0").mkdir()
    assert traffic(monkeypatch, tmp_path, "eth0", "docker0", "veth1a", "lo") == (1, 2)


@pytest.mark.parametrize("loop", ["lo", "lo0", "Loopback Pseudo-Interface 1"])
def test_without_a_card_all_but_the_loopback_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    names = ("Local Area Connection", "low-pan0", loop)
    assert traffic(monkeypatch, tmp_path, *names) == (11, 22)


def test_images_are_no_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = ("ext4", "squashfs", "iso9660", "erofs", "xfs")
    mounts = [Mount(f"/dev/{place}", f"/{place}", kind) for place, kind in enumerate(kinds)]
    monkeypatch.setattr(psutil, "disk_partitions", lambda: mounts)
    monkeypatch.setattr(psutil, "disk_usage", lambda mount: Usage(GIB * 10 ** int(mount[1:]), 10**5 * GIB))
    shown: dict[str, Any] = host.sample()
    assert (shown["disk_usage"], shown["disk_total"]) == (10_001, 200_000)


def test_the_uptime_is_the_kernels_whatever_the_clock_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "boot_time", lambda: time.time() + 3600)
    shown = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    assert host.sample()["uptime_s"] == pytest.approx(shown, abs=2)

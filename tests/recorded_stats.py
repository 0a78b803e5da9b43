"""What engines answered elsewhere: statistics of engines that cannot run here, as their users published them.

Only what the agent reads is kept, in each case with where it was published.
"""

from typing import Any

# Docker with cgroup v1 (docker-java issue 1864).
DOCKER_V1: dict[str, Any] = {
    "memory_stats": {
        "usage": 144_052_224,
        "max_usage": 151_666_688,
        "stats": {
            "cache": 41_631_744,
            "inactive_file": 13_197_312,
            "total_cache": 41_631_744,
            "total_inactive_file": 13_197_312,
        },
        "limit": 4_294_967_296,
    }
}
# Docker 20.10 or newer with cgroup v2, one-shot (tests of dockwizard_agent).
DOCKER_20_V2: dict[str, Any] = {
    "read": "2023-02-20T10:03:01.998224131Z",
    "preread": "0001-01-01T00:00:00Z",
    "cpu_stats": {
        "cpu_usage": {"total_usage": 168_791_000},
        "system_cpu_usage": 2_006_893_600_000_000,
        "online_cpus": 4,
    },
    "precpu_stats": {"cpu_usage": {"total_usage": 0}},
    "memory_stats": {
        "usage": 4_194_304,
        "stats": {"anon": 811_008, "file": 3_108_864, "inactive_file": 1_253_376},
        "limit": 12_544_401_408,
    },
}
# Docker 29.8 (API 1.52) with cgroup v2, one-shot (tests of agentiik).
DOCKER_29_V2: dict[str, Any] = {
    "id": "0edefadc699c",
    "name": "/confident_napier",
    "os_type": "linux",
    "read": "2026-09-24T17:59:47.479030501Z",
    "preread": "0001-01-01T00:00:00Z",
    "cpu_stats": {
        "cpu_usage": {"total_usage": 41_833_000},
        "system_cpu_usage": 176_459_960_000_000,
        "online_cpus": 8,
    },
    "memory_stats": {
        "usage": 1_556_480,
        "stats": {"active_anon": 65_536, "anon": 65_536, "file": 8_192, "inactive_file": 4_096},
        "limit": 8_217_473_024,
    },
}
# Rootless Podman without a limit: that of the machine (dockhand issue 335).
PODMAN_ROOTLESS: dict[str, Any] = {
    "cpu_stats": {
        "cpu_usage": {"total_usage": 7_745_102_841_000},
        "system_cpu_usage": 42_099_909_994_000,
        "online_cpus": 8,
    },
    "precpu_stats": {"cpu_usage": {"total_usage": 0}},
    "memory_stats": {"usage": 1_490_853_888, "limit": 33_185_812_480},
}
# Podman without a limit: the largest number there is (podman issue 16007).
PODMAN_UNLIMITED: dict[str, Any] = {
    "memory_stats": {"usage": 602_112, "max_usage": 18_446_744_073_709_551_615, "limit": 18_446_744_073_709_551_615}
}
# Two readings of one container by Docker with cgroup v2, a second apart (dozzle issue 3553).
DOCKER_PAIR: tuple[dict[str, Any], dict[str, Any]] = (
    {
        "read": "2025-01-15T19:46:32.649839502Z",
        "cpu_stats": {
            "cpu_usage": {"total_usage": 1_178_139_000},
            "system_cpu_usage": 340_657_990_000_000,
            "online_cpus": 4,
        },
    },
    {
        "read": "2025-01-15T19:46:33.654557292Z",
        "cpu_stats": {
            "cpu_usage": {"total_usage": 1_179_210_000},
            "system_cpu_usage": 340_662_000_000_000,
            "online_cpus": 4,
        },
    },
)


def docker_stats(earlier: dict[str, Any], later: dict[str, Any]) -> float:
    """CPU in % by the formula of the Engine API's documentation (operation ContainerStats)."""
    before, now = earlier["cpu_stats"], later["cpu_stats"]
    used = now["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
    of_all = now["system_cpu_usage"] - before["system_cpu_usage"]
    return float(used / of_all * now["online_cpus"] * 100)

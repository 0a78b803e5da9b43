"""What is strange about a valid report: it is stored as sent, but someone should know."""

from model.schemas import Report

MAX_SKEW_S = 600
# Where the host does not say how many threads it has.
MOST_THREADS = 4096
PERCENT = 100.0


def oddities(report: Report, earliest: str, latest: str) -> list[str]:
    """Names what is odd; `earliest` and `latest` are the local times, as text, between which a right clock would be."""
    containers = report.containers or []
    names = {container["container_name"] for container in containers}
    found = {
        "duplicate_containers": len(names) < len(containers),
        "percentage_out_of_range": _out_of_range(report),
        "clock_skew": not earliest <= (report.host.get_datetime or earliest) <= latest,
    }
    return [name for name, odd in found.items() if odd]


def _out_of_range(report: Report) -> bool:
    """Below zero, a host above 100 %, a container above 100 % of every thread, memory above 100 %."""
    host = report.host
    most = PERCENT * (host.cpu_threads or host.cpu_cores or MOST_THREADS)
    if not (0 <= (host.cpu_percentage or 0) <= PERCENT and 0 <= (host.memory_percentage or 0) <= PERCENT):
        return True
    for container in report.containers or ():
        cpu, memory = container.get("cpu_percentage") or 0, container.get("memory_percentage") or 0
        if not (0 <= cpu <= most and 0 <= memory <= PERCENT):
            return True
    return False

from collections.abc import Callable
from pathlib import Path

from tests.earlier import small
from tests.schema_engine import target
from tests.service import Service, report, running, settings_for


def listed(service: Service, path: str, *names: str) -> list[tuple[object, ...]]:
    return [tuple(row[name] for name in names) for row in service.data(path)]


def test_an_earlier_servers_lists_stay_as_they_were_and_move_on_with_the_first_report(
    engine: str, new_url: Callable[[str], str], tmp_path: Path
) -> None:
    url = new_url(engine)
    with target(url) as one:
        small(one)
    with running(settings_for(url, tmp_path)) as service:
        hosts = [("web-1", 3.9, 18.1, "2025-06-23T12:00:00"), ("web-2", 3.9, 18.1, "2025-06-23T13:00:00")]
        assert listed(service, "/api/hosts", "host_name", "cpu_percentage", "memory_usage", "get_datetime") == hosts
        before = [("web-1", "db", "exited"), ("web-1", "web", "running"), ("web-2", "web", "running")]
        assert listed(service, "/api/containers", "host_name", "container_name", "status") == before

        assert service.post(report("web-1", "web", "cache", cpu_percentage=5)).status_code == 200

        after = [("web-1", "cache", "running"), ("web-1", "web", "running"), ("web-2", "web", "running")]
        assert listed(service, "/api/containers", "host_name", "container_name", "status") == after
        assert listed(service, "/api/hosts", "host_name", "cpu_percentage") == [("web-1", 5.0), ("web-2", 3.9)]
        assert service.sql("SELECT COUNT(*) FROM containers") == [(6,)]

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection

from database import purge
from services import jobs
from services.access import PROXIED, from_here
from tests.service import Service, report

TABLES = ("containers", "reports", "rollup_pending")


def stored(service: Service, *args: Any, **fields: Any) -> int:  # noqa: ANN401 - JSON
    host_id: int = service.post(report(*args, **fields)).json()["data"]["host_id"]
    return host_id


def delete(service: Service, host_id: int, **headers: str) -> httpx.Response:
    return service.client.delete(f"/api/hosts/{host_id}", headers=headers)


def rows(service: Service, host_id: int) -> int:
    counts = (f"SELECT COUNT(*) FROM {table} WHERE host_id = :id" for table in TABLES)
    return sum(count for query in counts for [count] in service.sql(query, id=host_id))


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_deleted_host_is_gone_from_every_answer(service: Service) -> None:
    host_id = stored(service, "gone", "box")
    answer = delete(service, host_id)
    assert (answer.status_code, answer.content) == (204, b"")
    assert service.data("/api/hosts", q="gone") == []
    assert service.data("/api/containers", host_id=host_id) == []
    paths = (f"/api/hosts/{host_id}", f"/api/hosts/{host_id}/containers")
    assert [service.client.get(path).json()["resultCode"] for path in paths] == ["NOT_FOUND"] * 2


def test_hidden_host_is_in_no_list_while_its_rows_are_still_there(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge, "purge", lambda *_: 0)
    host_id = stored(service, "hidden", "box")
    service.sql("UPDATE hosts SET deleted_at = created_at, host_name = NULL WHERE id = :id", id=host_id)
    lists = [service.data(path, host_id=host_id) for path in ("/api/hosts", "/api/containers")]
    assert (lists, rows(service, host_id)) == ([[], []], 3)


def test_only_a_host_that_is_there_can_be_deleted(service: Service) -> None:
    host_id = stored(service, "once")
    assert [delete(service, host_id).status_code for _ in range(2)] == [204, 404]
    assert delete(service, 10**15).json()["resultCode"] == "NOT_FOUND"


def test_later_report_makes_a_new_host_of_the_same_name(service: Service) -> None:
    host_id = stored(service, "phoenix", "old")
    delete(service, host_id)
    assert stored(service, "phoenix", "new") != host_id
    assert [box["container_name"] for box in service.data("/api/containers", host_name="phoenix")] == ["new"]


def test_rows_of_a_deleted_host_go_soon_and_no_others(service: Service) -> None:
    kept, host_id = stored(service, "kept", "box"), stored(service, "going", "box")
    before = rows(service, kept)
    delete(service, host_id)
    until(lambda: rows(service, host_id) == 0)
    assert rows(service, kept) == before == 3


def test_row_of_a_deleted_host_goes_once_there_is_a_newer_host(service: Service) -> None:
    host_id = stored(service, "row")
    delete(service, host_id)
    stored(service, "newer than row")
    service.state["jobs"].purge_soon()
    until(lambda: service.sql("SELECT COUNT(*) FROM hosts WHERE id = :id", id=host_id) == [(0,)])


@pytest.fixture
def removed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each transaction of the job removed, at most a thousand each."""
    counts: list[int] = []
    whole = purge.purge

    def counted(connection: Connection, limit: int) -> int:
        counts.append(whole(connection, limit))
        return counts[-1]

    assert jobs.PURGE_ROWS == 5_000
    monkeypatch.setattr(jobs, "PURGE_ROWS", 1_000)
    monkeypatch.setattr(purge, "purge", counted)
    return counts


def test_id_of_a_removed_host_is_never_given_to_another(service: Service, removed: list[int]) -> None:
    host_id = stored(service, "first owner")
    delete(service, host_id)
    until(lambda: rows(service, host_id) == 0 and removed[-1:] == [0])
    second = stored(service, "second owner")
    assert len({host_id, second, stored(service, "first owner")}) == 3


def test_many_rows_go_in_several_transactions(service: Service, removed: list[int]) -> None:
    for _ in range(2):
        host_id = stored(service, "big", *(f"box{number}" for number in range(1_250)))
    delete(service, host_id)
    until(lambda: rows(service, host_id) == 0)
    assert [count for count in removed if count > 100] == [1_000, 1_000, 500]


def test_reports_are_stored_while_many_rows_go(service: Service, removed: list[int]) -> None:
    host_id = stored(service, "heavy", *(f"box{number}" for number in range(2_000)))
    delete(service, host_id)
    assert [stored(service, "heavy", "box") for _ in range(5)] != [host_id] * 5
    until(lambda: rows(service, host_id) == 0)
    assert max(removed) <= 1_000


@pytest.mark.parametrize("origin", ["https://evil.example", "null", ""])
def test_no_web_page_deletes_a_host(sqlite: Service, origin: str) -> None:
    host_id = stored(sqlite, "wanted")
    answer = delete(sqlite, host_id, Origin=origin)
    assert (answer.status_code, answer.json()["resultCode"]) == (403, "FORBIDDEN")
    assert sqlite.data(f"/api/hosts/{host_id}")["host_name"] == "wanted"


@pytest.mark.parametrize(
    ("peer", "may"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:10.0.0.1", False),
        ("10.0.0.1", False),
        ("192.168.1.2", False),
        ("::", False),
        ("fe80::1%lo", False),
        ("localhost", False),
        ("", False),
        (None, False),
    ],
)
def test_only_this_very_machine_from_here(peer: str | None, *, may: bool) -> None:
    assert from_here(peer, "127.0.0.1", {}) is may
    assert not any(from_here(peer, "127.0.0.1", {name: ""}) for name in ("origin", *PROXIED))


@pytest.mark.parametrize(
    ("host", "may"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("rebound.example", False),
        ("localhost.rebound.example", False),
        ("10.0.0.1", False),
        ("", False),
    ],
)
def test_only_who_asks_this_machine_by_its_own_name(host: str, *, may: bool) -> None:
    assert from_here("127.0.0.1", host, {}) is may


@pytest.mark.parametrize(
    ("site", "may"), [("none", True), ("same-origin", True), ("same-site", False), ("cross-site", False), ("", False)]
)
def test_no_page_of_another_server_from_here(site: str, *, may: bool) -> None:
    assert from_here("127.0.0.1", "localhost", {"sec-fetch-site": site}) is may


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "rebound.example:8000"},
        *({name: "x"} for name in ("origin", *PROXIED)),
    ],
)
def test_settings_are_for_this_very_machine(sqlite: Service, headers: dict[str, str]) -> None:
    answer = sqlite.client.get("/config", headers=headers)
    assert (answer.status_code, answer.json()["resultCode"]) == (403, "FORBIDDEN")
    assert sqlite.client.get("/config", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200

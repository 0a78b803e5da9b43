"""Whole lists and series as files."""

import csv
import io
import json
import random
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import event

from benchmarks import downloads as large
from benchmarks import procs
from database import history, stretches
from model.envelope import unavailable
from model.schemas import ContainerOut, HostOut
from routers import downloads
from tests.intake import refused
from tests.logs import Reader, wait_until
from tests.past import LATER, NAMES, T0, Writer, fleet, roll
from tests.programs import MAIN, program
from tests.schema_engine import target
from tests.service import Service, report, running, settings_for
from utils.utils import moment

pytestmark = pytest.mark.history
CSV, NDJSON = "text/csv", "application/x-ndjson"
BOTH = pytest.mark.parametrize("form", [CSV, NDJSON])
ROWS, EACH = 60_000, 100
METRICS = ("cpu_percentage", "memory_usage", "memory_percentage")


def got(service: Service, path: str, form: str = NDJSON, **params: object) -> httpx.Response:
    answer = service.client.get(path, params=dict(params), headers={"Accept": form})  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].partition(";")[0] == form
    return answer


def objects(service: Service, path: str, **params: object) -> list[dict[str, Any]]:
    return [json.loads(line) for line in got(service, path, NDJSON, **params).text.splitlines()]


def table(service: Service, path: str, **params: object) -> list[dict[str, str]]:
    """A CSV's rows by its names."""
    return list(csv.DictReader(io.StringIO(got(service, path, CSV, **params).text, newline=""), strict=True))


def cell(value: object) -> str:
    """A value that is no text, as CSV has it."""
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "PAGE", 3)
    monkeypatch.setattr(downloads, "PIECE", 2)


@pytest.fixture(scope="module")
def crowd(service: Service) -> Service:
    """Hosts and containers with ties, unknown values and details."""
    wait_until(lambda: service.client.get("/health").status_code == 200, 30)
    for number in range(8):
        metrics = {"cpu_percentage": (None, 1, 2.5)[number % 3], "memory_usage": -0.1 * number}
        boxes = [
            {"container_name": name, "cluster_name": "crowd", "status": "up", "oom_killed": True, **metrics}
            for name in ("a", "b", "b")[: number % 4]
        ]
        service.post(report(f"crowd-{number}", *boxes, **metrics, os="Debian"))
    return service


# What is in them


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("sort", ["host_name", "-cpu_percentage"])
def test_ndjson_has_the_objects_of_every_page_of_the_list(crowd: Service, sort: str) -> None:
    for path, asked in (("/api/hosts", {"q": "crowd-"}), ("/api/containers", {"cluster_name": "crowd"})):
        whole = crowd.data(path, sort=sort, **asked)
        assert len(whole) >= 8
        assert objects(crowd, path, sort=sort, **asked) == whole


@pytest.mark.usefixtures("small_pages")
def test_csv_has_the_same_fields_and_values_as_the_list(crowd: Service) -> None:
    for path, asked, model in (
        ("/api/hosts", {"q": "crowd-"}, HostOut),
        ("/api/containers", {"cluster_name": "crowd"}, ContainerOut),
    ):
        rows = table(crowd, path, **asked)
        assert list(rows[0]) == list(model.model_fields)
        assert rows == [{name: cell(value) for name, value in row.items()} for row in crowd.data(path, **asked)]


@pytest.mark.usefixtures("small_pages")
def test_a_hosts_own_containers_are_a_file_too(service: Service) -> None:
    host_id = service.post(report("own file", *"abcdefgh")).json()["data"]["host_id"]
    path = f"/api/hosts/{host_id}/containers"
    assert objects(service, path) == service.data(path)
    assert [row["container_name"] for row in table(service, path)] == list("abcdefgh")


@pytest.mark.usefixtures("small_pages")
def test_a_file_of_containers_has_the_columns_asked_for_in_their_order(crowd: Service) -> None:
    asked: dict[str, Any] = {"cluster_name": "crowd", "sort": "-cpu_percentage"}
    chosen = ["status", "host_name", "cpu_percentage", "oom_killed"]
    expected = [[(name, row[name]) for name in chosen] for row in crowd.data("/api/containers", **asked)]
    asked["columns"] = ",".join(chosen)
    assert [list(row.items()) for row in objects(crowd, "/api/containers", **asked)] == expected
    cells = [[(name, cell(value)) for name, value in row] for row in expected]
    assert [list(row.items()) for row in table(crowd, "/api/containers", **asked)] == cells


def test_a_column_asked_for_twice_is_there_once(sqlite: Service) -> None:
    answer = sqlite.client.get("/api/containers", params={"columns": "id,host_name,id"}, headers={"Accept": CSV})
    assert answer.text.splitlines()[0].lstrip("\ufeff") == "id,host_name"


@pytest.mark.parametrize("columns", ["", "host_name,", "details", "host_name,host", ",".join(["id"] * 22)])
def test_a_column_that_is_not_there_is_refused(sqlite: Service, columns: str) -> None:
    answer = sqlite.client.get("/api/containers", params={"columns": columns}, headers={"Accept": CSV})
    refused(answer, 422, "VALIDATION")


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("limit", [1, 3, 5])
def test_a_limit_that_is_given_cuts(crowd: Service, limit: int) -> None:
    assert objects(crowd, "/api/hosts", q="crowd-", limit=limit) == crowd.data("/api/hosts", q="crowd-", limit=limit)


def test_a_list_without_rows_still_has_its_names(service: Service) -> None:
    assert got(service, "/api/hosts", CSV, q="nobody").text == ",".join(HostOut.model_fields) + "\r\n"
    assert got(service, "/api/hosts", NDJSON, q="nobody").text == ""


HOSTILE = ["=1+1", "+1", "-1", "@SUM(A1)", 'say "x"', "a,b", "'quoted'", "서버-가나", "plain", "a=b"]


def test_t07_no_text_is_a_formula_and_every_other_text_is_itself(service: Service) -> None:
    service.post(report("formulas", *({"container_name": name, "cpu_percentage": -1.5} for name in HOSTILE)))
    rows = table(service, "/api/containers", host_name="formulas")
    expected = [f"'{name}" if name[0] in "=+-@" else name for name in HOSTILE]
    assert sorted(row["container_name"] for row in rows) == sorted(expected)
    assert {row["cpu_percentage"] for row in rows} == {"-1.5"}


# Which form it is


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("text/csv", CSV),
        ("TEXT/CSV; charset=utf-8", CSV),
        ("text/*", CSV),
        ("text/csv, */*", CSV),
        ("application/x-ndjson, text/csv;q=0.9", NDJSON),
        ("application/x-ndjson;q=0.2, text/csv;q=0.3, application/json;q=0.1", CSV),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/json"),
        ("text/csv;q=0.5, */*", "application/json"),
        ("text/csv;q=0, application/*", "application/json"),
        ("text/csv, application/json", "application/json"),
        ("image/png", "application/json"),
        ("", "application/json"),
        (";;q=,,text/csv;q=nan,", CSV),
    ],
)
def test_accept_chooses_the_form(sqlite: Service, accept: str, form: str) -> None:
    for path in ("/api/hosts", "/api/containers"):
        answer = sqlite.client.get(path, headers={"Accept": accept})
        assert answer.headers["content-type"].partition(";")[0] == form
        assert "Accept" in answer.headers["vary"]


@BOTH
def test_a_file_has_a_name_and_no_tag(crowd: Service, form: str) -> None:
    answer = got(crowd, "/api/containers", form)
    suffix = {CSV: "csv", NDJSON: "ndjson"}[form]
    assert httpx.Headers(answer.headers)["content-disposition"].startswith('attachment; filename="containers-20')
    assert answer.headers["content-disposition"].endswith(f'Z.{suffix}"')
    assert "etag" not in answer.headers


def test_the_document_names_the_forms(sqlite: Service) -> None:
    paths = sqlite.client.get("/openapi.json").json()["paths"]
    files = {path for path, one in paths.items() if {CSV, NDJSON} <= {*_good(one).get("content", {})}}
    assert {"/api/hosts", "/api/hosts/{host_id}/containers", "/api/containers", "/api/history"} <= files


def _good(path: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = path.get("get", {}).get("responses", {}).get("200", {})
    return found


# What goes wrong


@BOTH
@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/hosts?limit=0", 422, "VALIDATION"),
        ("/api/hosts?cursor=nonsense", 422, "VALIDATION"),
        ("/api/hosts/404404/containers", 404, "NOT_FOUND"),
        ("/api/history?host_id=404404", 404, "NOT_FOUND"),
        ("/api/history?host_id=1&from=2026-01-02&to=2026-01-01", 422, "VALIDATION"),
    ],
)
def test_what_fails_before_the_first_byte_is_an_envelope(
    service: Service, path: str, status: int, code: str, form: str
) -> None:
    refused(service.client.get(path, headers={"Accept": form}), status, code)


@BOTH
@pytest.mark.usefixtures("small_pages")
def test_a_file_that_was_cut_is_no_whole_answer(crowd: Service, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    database, log, times = crowd.state["database"], Reader(crowd), 0
    read = database.read

    async def failing(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - as the real one
        nonlocal times
        times += 1
        if times == 3:
            raise unavailable()
        return await read(*args, **options)

    monkeypatch.setattr(database, "read", failing)
    with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
        crowd.client.get("/api/hosts", headers={"Accept": form})
    log.until(" WARNING - download_cut code=DB_UNAVAILABLE")
    monkeypatch.undo()
    assert crowd.data("/api/hosts", q="crowd-7")


# A series


@pytest.fixture(scope="module")
def past(engine: str, new_url: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Two hosts' hour and a half, aggregated, on a database of its own."""
    url = new_url(engine)
    with target(url) as store:
        store.prepare()
        Writer(store).put(*fleet(store, random.Random("downloads"), 240))
        roll(store)
        store.sql("UPDATE hosts SET interval_s = 15")
    with running(settings_for(url, tmp_path_factory.mktemp("past"))) as one:
        wait_until(lambda: one.client.get("/health").status_code == 200, 30)
        yield one


SPAN = {"from": f"{moment(T0).isoformat()}Z", "to": f"{LATER.isoformat()}Z", "host_id": 1}


@pytest.mark.parametrize(
    "whose", [{}, {"engine_type": NAMES[0][0], "container_name": NAMES[0][1]}, {"container_name": "db"}]
)
@pytest.mark.parametrize("step", ["1m", "7m", "10m", "1h", "1d", "raw", "auto"])
def test_a_series_in_stretches_is_the_series_at_once(
    past: Service, step: str, whose: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stretches, "STEPS_S", 1_800)
    monkeypatch.setattr(stretches, "SAMPLES_S", 700)
    asked = {**SPAN, "step": step, **whose}
    points = past.data("/api/history", **asked)["points"]
    assert len(points) > (0 if step in ("1d", "1h") else 5)
    assert objects(past, "/api/history", **asked) == points


def test_csv_of_a_series_has_a_column_for_each_average_and_extreme(past: Service) -> None:
    rows = table(past, "/api/history", **SPAN, step="10m", metrics="memory_usage")
    points = past.data("/api/history", **SPAN, step="10m", metrics="memory_usage")["points"]
    spreads = [f"{metric}_{part}" for metric in METRICS for part in ("avg", "min", "max")]
    assert list(rows[0]) == ["t", "samples", "coverage", "status", *spreads]
    assert [row["memory_usage_max"] for row in rows] == [cell(point["memory_usage"]["max"]) for point in points]
    assert {row["cpu_percentage_avg"] for row in rows} == {""}


def test_a_file_has_more_points_than_json_gives_at_once(past: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = objects(past, "/api/history", **SPAN, step="raw")
    for module in (history, stretches):
        monkeypatch.setattr(module, "MAX_POINTS", 10)
    monkeypatch.setattr(history, "MOST_SAMPLES", 11)
    assert len(whole) > 50
    assert objects(past, "/api/history", **SPAN, step="raw") == whole


def test_equal_names_in_one_report_do_not_count_for_the_limit(past: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {**SPAN, "step": "raw", "engine_type": NAMES[0][0], "container_name": NAMES[0][1]}
    whole = past.data("/api/history", **asked)["points"]
    monkeypatch.setattr(history, "MOST_SAMPLES", len(whole))
    assert past.data("/api/history", **asked)["points"] == whole


def test_a_span_of_all_times_is_no_work(past: Service) -> None:
    asked = {**SPAN, "from": "1971-01-01", "to": "2199-12-31", "step": "1m"}
    assert len(objects(past, "/api/history", **asked)) == len(objects(past, "/api/history", **SPAN, step="1m"))


# A large one


@pytest.fixture(scope="module")
def big(new_url: Callable[[str], str]) -> str:
    """The URL of a database with many containers, on SQLite."""
    url = new_url("sqlite")
    with large.filled(url) as connection:
        large.fleet(connection, ROWS // EACH, EACH)
    return url


@BOTH
@pytest.mark.slow
def test_a_large_list_takes_little_memory(big: str, tmp_path: Path, form: str) -> None:
    """All rows at once would take a hundred megabytes."""
    with program(MAIN, big, tmp_path) as server:
        server.ready()
        large.fetched(server, large.Asked("/api/containers?limit=1000", form))
        before = procs.peak_bytes(server.tree)
        assert large.fetched(server, large.Asked("/api/containers", form)).rows == ROWS
        assert procs.peak_bytes(server.tree) - before < 20 << 20


@pytest.mark.slow
def test_a_client_that_reads_slowly_holds_no_connection(big: str, tmp_path: Path) -> None:
    asked = f"GET /api/containers HTTP/1.1\r\nHost: test\r\nAccept: {NDJSON}\r\n\r\n".encode()
    with running(settings_for(big, tmp_path)) as service, socket.create_connection(("127.0.0.1", service.port)) as one:
        statements: list[float] = []
        engine = service.state["database"]._read_engine
        event.listen(engine, "before_cursor_execute", lambda *_: statements.append(time.monotonic()))
        one.sendall(asked)
        assert one.recv(20).startswith(b"HTTP/1.1 200")
        wait_until(lambda: time.monotonic() - statements[-1] > 1)
        assert 1 < len(statements) < ROWS // downloads.PAGE
        assert engine.pool.checkedout() == 0

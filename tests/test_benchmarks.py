"""The benchmarks run, and notice when the tables are not what was acknowledged."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import history, history_size, steady, table
from benchmarks.engines import started
from benchmarks.table import Line
from config.config import ROOT
from tests.deployed import compose
from tests.intake import rows
from tests.service import Service

# Reports a second that leave time to the jobs of any machine.
SLOW = 100
LINE = Line("MySQL 9.7", "ours", rate=10.0, reports=1_000, cpu_s=(1.0, None, 0.1), stored=(1_000, 20_000))


def stored(reports: int, containers: int) -> str:
    return LINE._replace(stored=(reports, containers)).wrong


def test_a_table_that_holds_what_was_acknowledged_is_right() -> None:
    assert stored(1_000, 20_000) == ""


def test_requests_that_were_cut_off_may_be_stored() -> None:
    assert stored(1_256, 25_120) == ""
    assert "1257 reports" in stored(1_257, 25_140)


def test_a_missing_report_is_noticed() -> None:
    assert "999 reports" in stored(999, 19_980)


def test_a_report_in_part_is_noticed() -> None:
    assert "19999 containers" in stored(1_000, 19_999)


def test_the_table_shows_ratios_and_targets_beside_the_figures() -> None:
    head, _, naive, ours, target = table.markdown(
        [LINE._replace(server="base"), LINE._replace(rate=25)], "base"
    ).splitlines()
    assert head.endswith("| x straightforward |")
    assert naive.endswith("| 1.0 |")
    assert ours.endswith("| 2.5 |")
    assert target.endswith("| ≥ 20 |")


@pytest.mark.slow
def test_a_past_lies_behind_the_current_rows(fresh: Service) -> None:
    url = fresh.settings.database.url
    assert url
    history.report(fresh.url)
    history.fill(url.get_secret_value(), 2 * history.TURN)
    history.report(fresh.url)
    assert rows(fresh)[:3] == (1_000, 4_000, 80_000)
    assert fresh.client.get("/api/containers").headers["X-Total-Count"] == "20000"


def test_a_filled_store_has_the_memory_that_compose_gives_it() -> None:
    assert {*history_size.OPTIONS["mysql"].split()} <= {*compose()["services"]["database"]["command"]}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is not installed")
def test_old_rows_go_only_where_the_jobs_are_at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steady, "SECONDS", 5)
    monkeypatch.setattr(steady, "ROWS", 20 * history.TURN)
    monkeypatch.setattr(steady, "WARM_UP_S", dict.fromkeys(steady.WARM_UP_S, 1))
    with started("sqlite", tmp_path) as store, steady.old(store, tmp_path) as url:
        off, busy = (steady.measured(one, url, tmp_path, SLOW) for one in (steady.OFF, steady.BUSY))
    assert off.removed == 0 < busy.removed
    assert min(off.rate, busy.rate) > 0


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is not installed")
def test_one_command_measures_the_intake() -> None:
    environ = {**os.environ, "BENCH_SECONDS": "1", "BENCH_ENGINES": "sqlite"}
    command = [sys.executable, "-m", "benchmarks.intake"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    servers = [line.split(" | ")[1] for line in done.stdout.splitlines() if line.startswith("| SQLite")]
    assert servers == ["INSERT without HTTP", "straightforward", "ours, 1 worker", "*target for ours*"]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is not installed")
@pytest.mark.parametrize("what", ["tokens", "dashboards"])
def test_one_command_measures_what_something_costs(what: str) -> None:
    environ = {**os.environ, "BENCH_SECONDS": "1", "BENCH_ROUNDS": "2", "BENCH_ENGINES": "sqlite"}
    command = [sys.executable, "-m", f"benchmarks.{what}"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [row] = [line for line in done.stdout.splitlines() if line.startswith("| SQLite")]
    assert 0.2 < float(row.split(" | ")[3].rstrip("%| ")) / 100 < 5


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is not installed")
def test_one_command_fills_a_month_and_every_read_of_it_finds_something() -> None:
    environ = {**os.environ, "BENCH_ENGINES": "sqlite"}
    command = [sys.executable, "-m", "benchmarks.scale", "--scale", "small"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| SQLite")]
    reads = {line[1]: int(line[2].replace(",", "")) for line in lines if line[2]}
    assert len(reads) == 21
    assert all(reads.values()), reads

"""What the service says of the size of its database, beside what is there; and what is foretold, beside what came."""

import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from config.settings import ROOT, Monitoring
from database import storage
from model.history import METRICS
from model.widths import WIDTHS
from services.forecast import Fleet, forecast, size, told
from tests import stored
from tests.console import manage
from tests.intake import until
from tests.past import T0, Writer, roll
from tests.schema_engine import Target
from tests.servers import Server
from tests.service import running, settings_for
from utils.utils import SECOND, moment, utc_text

pytestmark = pytest.mark.history
# How far estimates and forecasts may be from what is there.
ESTIMATE, FORECAST = 1.3, 1.5
FILLED = ("reports", "containers", "rollup_60", "rollup_600", "rollup_3600")


def asked(store: Target, folder: Path, **environ: str) -> dict[str, Any]:
    """What a service on the database says of it."""
    with running(settings_for(store.url, folder, **environ)) as service:
        data: dict[str, Any] = service.data("/api/storage")
        return data | {"tables": {table["name"]: table for table in data["tables"]}}


def lived(store: Target, hours: int, hosts: int = 2, containers: int = 20) -> None:
    """A fleet that reported every ten seconds, and its aggregates."""
    writer, dice, now_s = Writer(store), random.Random(1), (time.time_ns() // 1_000 - T0) // SECOND
    for at_s in range(int(now_s - hours * 3_600), int(now_s), 10):
        shown = [{**one, **{name: dice.uniform(0, 100) for name in METRICS}} for one in stored.SHOWN[:containers]]
        writer.put(*(writer.report(f"host-{one:03}", at_s + one, *shown, cpu_percentage=2.5) for one in range(hosts)))
    roll(store, moment(T0) + timedelta(seconds=now_s + 7_200))


def counted(store: Target, table: str) -> int:
    count: int = store.sql(f"SELECT COUNT(*) FROM {table}")[0][0]
    return count


def near(figure: float, real: float, factor: float) -> bool:
    return real / factor <= figure <= real * factor


def test_a_small_database_is_counted_exactly(store: Target, tmp_path: Path) -> None:
    lived(store, hours=1, containers=3)
    data = asked(store, tmp_path)
    rows = {name: table["rows"] for name, table in data["tables"].items()}
    assert rows == {name: counted(store, name) for name in rows}
    assert {*FILLED, "hosts", "series", "events"} <= rows.keys()
    assert data["tables"]["rollup_60"]["bytes_per_sample"] < data["tables"]["containers"]["bytes_per_sample"]
    oldest, newest = store.sql("SELECT MIN(sampled_at), MAX(sampled_at) FROM reports")[0]
    shown = data["tables"]["reports"]
    assert [shown["oldest"], shown["newest"]] == [utc_text(datetime.fromisoformat(str(at))) for at in (oldest, newest)]


def test_what_is_not_counted_is_estimated(store: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lived(store, hours=1, hosts=12, containers=3)
    monkeypatch.setattr(storage, "KEYS", 6)
    monkeypatch.setattr(storage, "ROWS", 20)
    shown = asked(store, tmp_path)["tables"]
    for name in ("reports", "containers", "rollup_60", "rollup_600"):
        assert shown[name]["rows_estimated"]
        assert near(shown[name]["rows"], counted(store, name), ESTIMATE)


def test_bytes_are_what_removing_a_table_frees(store: Target, tmp_path: Path) -> None:
    stored.fill(store, days=2)
    data = asked(store, tmp_path)
    before = stored.used(store).bytes
    assert near(data["used_bytes"], before, 1.05)
    assert near(sum(table["bytes"] for table in data["tables"].values()), before, 1.1)
    store.sql("DELETE FROM containers")
    freed = before - stored.settled(store, before // 3)
    assert near(data["tables"]["containers"]["bytes"], freed, FORECAST)


def test_growth_is_what_comes_without_what_goes(store: Target, tmp_path: Path) -> None:
    stored.fill(store, days=2.5)
    growing = asked(store, tmp_path, MONITORING_RETENTION_RAW_DAYS="0", MONITORING_MAX_DATABASE_GIB="1")
    used = growing["used_bytes"]
    assert near(growing["growth_bytes_per_day"], used / 2.5, FORECAST)
    assert near(growing["days_until_limit"], (2**30 - used) / growing["growth_bytes_per_day"], 1.01)
    assert (growing["guard"], growing["limit_bytes"]) == ("below", 2**30)
    full = asked(store, tmp_path, MONITORING_RETENTION_RAW_DAYS="2")
    assert full["growth_bytes_per_day"] < 0
    assert (full["guard"], full["limit_bytes"], full["days_until_limit"]) == ("off", None, None)


def test_an_empty_database_has_figures_too(store: Target, tmp_path: Path) -> None:
    data = asked(store, tmp_path, MONITORING_MAX_DATABASE_GIB="1")
    assert (data["growth_bytes_per_day"], data["days_until_limit"]) == (0, None)
    assert {table["rows"] for table in data["tables"].values()} <= {0, 1}


def test_a_database_that_only_reads_tells_what_it_remembers(
    store: Target, engine: str, servers: Callable[[str], Server], tmp_path: Path
) -> None:
    if engine == "sqlite":
        pytest.skip("it has no such state")
    with running(settings_for(store.url, tmp_path)) as service:
        servers(engine).execute("SET GLOBAL read_only = 1")
        try:
            until(lambda: service.client.get("/health").status_code == 503)
            assert service.data("/api/storage")["used_bytes"] > 0
        finally:
            servers(engine).execute("SET GLOBAL read_only = 0")


def test_what_is_foretold_comes(store: Target, engine: str) -> None:
    empty = stored.used(store).bytes
    lived(store, hours=4)
    lines = forecast(Fleet(2, 20, 10), Monitoring(), "sqlite" if engine == "sqlite" else "mysql")
    rows = {line.table: line.rows_day * 4 / 24 for line in lines}
    assert all(near(rows[name], counted(store, name), 1.1) for name in ("reports", "containers", "rollup_60"))
    assert near(sum(line.bytes_day for line in lines) * 4 / 24, stored.used(store).bytes - empty, FORECAST)


def test_a_tier_that_is_not_made_is_not_foretold() -> None:
    tables = {line.table for line in forecast(Fleet(1, 1, 60), Monitoring(), "mysql")}
    assert tables == {"reports", "containers", "rollup_600", "rollup_3600"}


def test_the_plan_is_told_without_a_database() -> None:
    url = "mysql://nobody:nothing@127.0.0.1:1/none"
    done = manage(url, "retention", "plan", "--hosts", "100", "--interval", "30")
    assert (done.status, done.words.splitlines()[0]) == (0, "100 hosts with 20 containers, every 30 s, on mysql:")
    [containers] = [line.split() for line in done.words.splitlines() if line.startswith("containers")]
    assert containers[1:3] == ["3", f"{100 * 20 * 86_400 // 30 * 3:,}"]
    assert done.words.splitlines()[-1] == "It no longer grows after 730 days."


@pytest.mark.parametrize("name", ["README.md", "README.ko.md"])
def test_the_readme_shows_the_plan_of_now(name: str) -> None:
    page = (ROOT / name).read_text(encoding="utf-8")
    assert "\n".join(told(forecast(Fleet(1_000, 20, 10), Monitoring(), "mysql"))[:-2]) in page
    for title, engine in (("MySQL, MariaDB", "mysql"), ("SQLite", "sqlite")):
        plans = [forecast(Fleet(1_000, 20, every), Monitoring(), engine) for every in (10, 30, 60)]
        sizes = [size(sum(line.bytes for line in plan)) for plan in plans]
        assert f"| {' | '.join([title, *sizes])} |" in page


def test_what_is_kept_for_ever_never_stops_growing() -> None:
    lines = forecast(Fleet(1, 1, 10), Monitoring(retention_raw_days=0), "sqlite")
    assert told(lines)[-1].startswith("This is after a year: it grows for ever, by ")
    assert lines[0].rows == 365 * 8_640


def test_both_engines_have_the_same_widths() -> None:
    assert len({frozenset(widths) for widths in WIDTHS.values()}) == 1
